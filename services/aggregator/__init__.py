"""The health aggregator: asks every service of a stack at once, and answers with the health of all of them."""

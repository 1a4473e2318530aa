"""The mesh's own authority: makes certificates for sidecars, renews them, and sees whether they are in force."""

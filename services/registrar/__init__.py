"""The registrar: tells a registry where the services of a stack are, as long as the health aggregator says that they are well."""

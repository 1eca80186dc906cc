"""The use cases: each takes a request in values of the domain, and returns a result in values of the domain."""

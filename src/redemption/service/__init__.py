"""The use cases: each takes a well-formed request of the domain and answers it with the domain's own values."""

"""Rules against abuse, lists of those who are denied or exempt, and what they say about a request."""

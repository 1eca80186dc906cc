"""Conversion from protobuf to the domain and back, one file for each part of the contract."""

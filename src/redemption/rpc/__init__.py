"""gRPC: connects the contract in ``redemption.v1`` with the use cases. No protobuf type goes beyond this package."""

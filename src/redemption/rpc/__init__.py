"""gRPC: the contract in ``redemption.v1`` on one side, the use cases on the other. Protobuf stops here."""

"""Values and rules only: no I/O, no clock, no Redis, no gRPC, no protobuf and no asyncio."""

"""The pure heart: values and rules, with no I/O, no clock, no Redis, no gRPC, no protobuf and no asyncio."""

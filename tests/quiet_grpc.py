"""Keeps gRPC's own log from standard error, where it would mix with what tests compare.

gRPC reads the variable when it is imported, so this module has to be imported first.
"""

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

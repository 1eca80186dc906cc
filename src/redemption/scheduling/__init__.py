"""When work runs: few pieces of long work at a time, in small steps, and one read for many who ask the same."""

"""Engines: how a compute node is built. One small file each; `base` says what an engine is."""

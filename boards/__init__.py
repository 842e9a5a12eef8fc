"""Boards as declarative files, the board top with its host link, the build to a bitstream, and the host driver."""

"""The `flow` network and its parts."""

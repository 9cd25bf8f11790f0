"""What the applications of the benchmark agree on; FastAPI has a model for it."""

NAME_LENGTHS = range(1, 101)


def accepted(name: object) -> bool:
    """Return whether somebody of this name can be greeted."""
    return isinstance(name, str) and len(name) in NAME_LENGTHS

"""Models: what xconv sees of them, and what it makes of them.

What needs the framework is in the rooms of its backend (:meth:`xconv.backend.Backend.room`): ``convolutions``,
``convert``, ``weights``, ``networks``, ``layers``.
"""

from xconv.models.calls import convolutions

__all__ = ["convolutions"]

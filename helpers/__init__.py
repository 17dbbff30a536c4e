"""What a lesson imports: ``from helpers import bench, check, claim, launch, pick, plots, start, zoo``.

Importing this package loads the standard library only; torch, matplotlib and
the like are imported by the functions that need them.
"""

from helpers.claims import claim
from helpers.exercises import check
from helpers.launch import launch
from helpers.lesson import pick, start

__all__ = ["check", "claim", "launch", "pick", "start"]
__version__ = "0.1.0"

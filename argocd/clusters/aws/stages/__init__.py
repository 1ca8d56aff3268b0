"""The stages, in the order in which they are deployed: the registry comes before the cluster that reads it."""

from stages.nonprod import NONPROD
from stages.prod import PROD

STAGES = (NONPROD, PROD)

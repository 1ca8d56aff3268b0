"""What the templates promise, by name: importing a module registers its properties."""

import aws_claims_cluster  # noqa: F401
import aws_claims_data  # noqa: F401
import aws_claims_network  # noqa: F401
import aws_claims_roles  # noqa: F401
import aws_claims_stages  # noqa: F401
from aws_claim import CLAIMS, failing

__all__ = ["CLAIMS", "failing"]

"""The pipeline's stages, the same on a laptop and in Jenkins, and the receiver that runs them locally.

Each stage reads what the one before it left in the output folder and refuses to go on without it.
"""

"""How fast and how safely is delivered: DORA's figures from Git and Argo CD's events. Nothing here does I/O."""

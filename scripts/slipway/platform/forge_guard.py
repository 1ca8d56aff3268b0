"""What the pipeline's account may change in the deploy repository.

Branch protection knows accounts and no paths, so that whoever may push dev's image might push prod's.
A hook in the forge's own copy of the repository knows both.
"""

from __future__ import annotations

from pathlib import Path

NAME = "slipway-paths"
_HOOK = """#!/bin/sh
# Written by `slipway up`: {user} changes environments that take direct commits, and nothing else on main.
# What an environment takes is read from the commit that main has, never from the one that is pushed.
[ "$GITEA_PUSHER_NAME" = {user} ] || exit 0
refuse() {{ echo "{user} may not change $1 without a pull request" >&2; exit 1; }}
while read -r old new ref; do
  [ "$ref" = refs/heads/main ] || continue
  case $old$new in *0000000000000000000000000000000000000000*) refuse main;; esac
  changed=$(git diff-tree -r --name-only --no-renames "$old" "$new") || exit 1
  printf '%s\\n' "$changed" | while IFS= read -r path; do
    environment=${{path#overlays/}}
    environment=${{environment%%/*}}
    case $path in "" | overlays/"$environment"/*) ;; *) refuse "$path";; esac
    [ -z "$path" ] || git show "$old:overlays/$environment/environment.yaml" 2> /dev/null |
      grep -qx 'delivery: direct' || refuse "$path"
  done || exit 1
done
"""


def confine(repository: Path, user: str) -> None:
    """Let `user` push to main only what environments of direct delivery hold; `repository` is the forge's folder."""
    text = _HOOK.format(user=user)
    hook = repository / "hooks" / "pre-receive.d" / NAME
    if hook.is_file() and hook.read_text() == text:
        return
    partial = repository / "hooks" / f"{NAME}.partial"
    partial.write_text(text)
    partial.chmod(0o755)
    partial.rename(hook)

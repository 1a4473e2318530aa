"""Commands on a host, journalled at both ends: they go on when the link is lost, and the next command sees how they ended."""

from __future__ import annotations

import json
from collections.abc import Sequence

from inventory.errors import HostFailed
from inventory.link import Reply
from inventory.replies import count
from rollback import records
from rollback.door import Door


class Running(Door):
    """Runs commands, and tells how the last one ended."""

    def execute(self, argv: Sequence[str], timeout_s: float, about: str = "") -> Reply:
        """Runs a command in the project folder, journalled; it goes on when the link is lost.

        `about` is what the command is, in a few words, for whoever has to know how it ended.
        """
        data = json.dumps({"argv": list(argv)})
        header = records.packed([data, records.path(about or argv[0]), *(records.path(word) for word in argv)])
        reply = self._call("execute", header, timeout_s=timeout_s)
        text, _, code = reply.out.rstrip(b"\n").rpartition(b"\nexit ")
        ended = count(code.decode("ascii", "replace"))
        if ended is None:
            raise HostFailed(
                f"the end of {argv[0]} is not known", host=self._host, mend="the next command will see how it ended"
            )
        return Reply(ended, text, b"", reply.seconds)

    def last_command(self) -> tuple[str, str]:
        """How the last executed command ended (`exit N`, `running`, `lost` or `none`) and what it was.

        `lost`: it was killed, or the host went down.
        """
        first, _, rest = self._call("last").text.partition("\n")
        return first.strip(), rest.strip()

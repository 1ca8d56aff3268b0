"""An application in small, with what makes a rollout hard: slow work, an end to what one process can do, a memory.

`/work` takes WORK_SECONDS; what would be more than CAPACITY of them within WINDOW seconds is refused. These seconds
are those of the header `x-due`, when the client meant to send: else a machine that is slow for a moment would look as
if a Pod were missing. `/session` makes a session and `/session/ID` knows only those that this process made; every
other path is the health check. On SIGTERM it takes no more connections, finishes what it has, and ends. It runs by
`python -c` in the application's image, with nothing but Python.
"""

import asyncio
import os
import signal
import uuid

WORK = float(os.environ["WORK_SECONDS"])
WINDOW = float(os.environ["WINDOW"])
CAPACITY = int(os.environ["CAPACITY"])
PORT = int(os.environ["PORT"])
DRAIN = 20


class Application:
    """One process of it."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.sessions: set[str] = set()
        self.open: set[asyncio.Task] = set()

    def takes(self, due: float) -> bool:
        """Whether there is room for one more; requests may come in another order than they were due in."""
        self.taken = [one for one in self.taken if one > due - 2 * WINDOW]
        if sum(due - WINDOW < one <= due for one in self.taken) >= CAPACITY:
            return False
        self.taken.append(due)
        return True

    async def respond(self, path: str, headers: dict[str, str]) -> tuple[str, str]:
        """Status and body."""
        if path == "/work":
            if not self.takes(float(headers["x-due"])):
                return "503 Service Unavailable", "at capacity"
            await asyncio.sleep(WORK)
            return "200 OK", "done"
        if path == "/session":
            name = uuid.uuid4().hex
            self.sessions.add(name)
            return "200 OK", name
        if path.startswith("/session/"):
            known = path.rpartition("/")[2] in self.sessions
            return ("200 OK", "here") if known else ("404 Not Found", "no such session here")
        return "200 OK", "ok"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        task = asyncio.current_task()
        self.open.add(task)
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            status, body = await self.respond(first.split(" ")[1], headers)
            length = f"Content-Length: {len(body)}\r\nContent-Type: text/plain\r\nConnection: close"
            writer.write(f"HTTP/1.1 {status}\r\n{length}\r\n\r\n{body}".encode())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.open.discard(task)


async def main() -> None:
    """Serve until SIGTERM, then drain."""
    application, told = Application(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    server = await asyncio.start_server(application.serve, "0.0.0.0", PORT)
    await told.wait()
    server.close()
    if application.open:
        await asyncio.wait(application.open, timeout=DRAIN)


if __name__ == "__main__":
    asyncio.run(main())

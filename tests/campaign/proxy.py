"""A TCP proxy of the campaign's own: it cuts, delays and holds up what goes through it. All proxies share one thread with
an event loop; the methods may be called by any thread."""
import asyncio
import threading


class Loop:
    """The thread that runs proxies."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)


class Proxy:
    """Listens on a free port of 127.0.0.1 and connects through to the target, which may change."""

    def __init__(self, loop, target):
        self.loop, self.target = loop, target
        self.delay_s = 0.0
        self.writers = set()
        self.port = loop.run(self._start())

    async def _start(self):
        self.flowing = asyncio.Event()
        self.flowing.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return server.sockets[0].getsockname()[1]

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    async def _accept(self, reader, writer):
        host, port = self.target.rsplit(":", 1)
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self.writers |= pair
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.writers -= pair
            for end in pair:
                end.transport.abort()

    async def _pump(self, reader, writer):
        while data := await reader.read(65536):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self.flowing.wait()
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    async def _cut(self):
        for writer in self.writers:
            writer.transport.abort()

    async def _hold(self, held):
        if held:
            self.flowing.clear()
        else:
            self.flowing.set()

    def cut(self):
        """Breaks every connection off, in mid-message if need be."""
        self.loop.run(self._cut())

    def hold(self, held):
        """Held: connections stay, and nothing goes through. What waits goes on its way afterwards."""
        self.loop.run(self._hold(held))

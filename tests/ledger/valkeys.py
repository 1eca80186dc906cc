"""Real Valkey servers on TCP ports with settings of their own, and servers that are none."""

import asyncio
import contextlib
import socket
import ssl
import threading

from waiting import SECONDS_MAX

from redemption.server.embedded_valkey import find_binary

READY = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
"""What makes a Valkey serve as a ledger."""


def free_port():
    """A port of 127.0.0.1 that nobody uses just now."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@contextlib.asynccontextmanager
async def valkey(directory, *settings):
    """Run a Valkey with settings; yields its port."""
    port = free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), "--logfile", "valkey.log"]
    process = await asyncio.create_subprocess_exec(str(find_binary()), *settings, *arguments)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            while not await _answers(port):
                await asyncio.sleep(0.01)
        yield port
    finally:
        process.kill()
        await process.wait()


async def _answers(port):
    """Whether a server answers there, be it with an error."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PING\r\n")
        answer = await reader.readline()
        writer.close()
        return not answer.startswith(b"-LOADING")
    return False


@contextlib.asynccontextmanager
async def saying(first=b"", answer=None, *, tls=None):
    """Run a server that says something to everybody, answers what it is sent, and hangs up; yields its port."""

    async def serve(reader, writer):
        with contextlib.suppress(OSError):
            writer.write(first)
            await reader.read(100)
            if answer is None:
                await reader.read()
            writer.write(answer or b"")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def offered(directory, *, ask=False):
    """What a TLS server offers with the certificate of a directory; with ``ask`` it wants the caller's, too."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "ledger.pem", directory / "ledger-key.pem")
    if ask:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(directory / "ledger.pem")
    return context


@contextlib.contextmanager
def asking_for_certificates(directory):
    """Run a TLS server that refuses callers without a certificate, in words of TLS; yields its port.

    It blocks in a thread: asyncio's servers end such a connection without a word.
    """
    context = offered(directory, ask=True)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with contextlib.suppress(OSError), connection:
                        context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(SECONDS_MAX)

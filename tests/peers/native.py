"""Python's `websockets` on the native protocol: `python native.py URL`. Prints what comes, and sends the lines of standard input."""

import asyncio
import os
import sys

import websockets


async def speak(socket):
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line == "close\n":
            await socket.close(1000, "enough")
            return
        await socket.send(line.rstrip("\n"))


async def main():
    # It asks for compression, as it does unless told otherwise.
    async with websockets.connect(sys.argv[1], max_size=None) as socket:
        print("open", [extension.name for extension in socket.protocol.extensions], flush=True)
        speaking = asyncio.create_task(speak(socket))
        async for message in socket:
            print("text" if isinstance(message, str) else "binary", message, flush=True)
        print("closed", socket.close_code, socket.close_reason, flush=True)
    # The thread that reads standard input is not waited for.
    speaking.cancel()
    os._exit(0)


asyncio.run(main())

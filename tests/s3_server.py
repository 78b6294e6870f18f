"""A real S3 server on loopback (SeaweedFS), and a proxy before it that counts, delays and fails."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import URLError

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from yarl import URL

KEY, SECRET, BUCKET = "tests-access-key", "tests-secret-that-is-never-printed", "prlore"


def weed() -> str | None:
    """The server's program, of this environment or of the path."""
    own = Path(sysconfig.get_path("scripts")) / "weed"
    return str(own) if own.is_file() else shutil.which("weed")


def environment(endpoint: str) -> dict[str, str]:
    """What a process needs to reach the server."""
    return {
        "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true",
    }  # fmt: skip


class S3Server:
    """SeaweedFS with one bucket; `with S3Server(folder) as server: server.endpoint`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint = ""

    def __enter__(self) -> S3Server:
        data = self._folder / "data"
        data.mkdir(parents=True)
        config = self._folder / "identities.json"
        config.write_text(
            json.dumps(
                {
                    "identities": [
                        {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin", "Read", "Write", "List"]}
                    ]
                }
            )
        )  # fmt: skip
        s3, master, volume, filer, *grpc = _free_ports(8)
        self.endpoint = f"http://127.0.0.1:{s3}"
        options = [
            f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", f"-s3.port={s3}", f"-s3.config={config}",
            "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.port.grpc={grpc[0]}", "-master.telemetry=false", f"-master.port={master}",
            f"-master.port.grpc={grpc[1]}", f"-volume.port={volume}", f"-volume.port.grpc={grpc[2]}", f"-filer.port={filer}",
            f"-filer.port.grpc={grpc[3]}", "-master.volumeSizeLimitMB=256", "-volume.max=0",
        ]  # fmt: skip
        program = weed()
        assert program is not None
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, "-logtostderr", "server", *options], stdout=log, stderr=log, cwd=self._folder
            )
        for _ in range(300):
            try:
                if _make_bucket(self.endpoint) == 200:
                    return self
            except (URLError, OSError):
                pass
            time.sleep(0.2)
        self.__exit__()
        raise RuntimeError((self._folder / "log").read_text()[-2000:])

    def __exit__(self, *exc: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            shutil.rmtree(self._folder / "data", ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in held]
    for one in held:
        one.close()
    return ports


def _make_bucket(endpoint: str) -> int:
    """`PUT /bucket`, signed with AWS Signature Version 4."""
    host, now = endpoint.removeprefix("http://"), datetime.now(UTC)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    empty = hashlib.sha256(b"").hexdigest()
    signed = "host;x-amz-content-sha256;x-amz-date"
    canonical = f"PUT\n/{BUCKET}\n\nhost:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{stamp}\n\n{signed}\n{empty}"
    scope = f"{day}/us-east-1/s3/aws4_request"
    key = f"AWS4{SECRET}".encode()
    for part in (day, "us-east-1", "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    request = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")
    request.add_header("x-amz-date", stamp)
    request.add_header("x-amz-content-sha256", empty)
    request.add_header(
        "Authorization",
        f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={signed}, Signature={signature}",
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(answer.status)


@dataclass
class Counts:
    """What went through: requests by method, bytes of bodies to the client and from it, faults that were made."""

    requests: dict[str, int] = field(default_factory=dict)
    read: int = 0
    written: int = 0
    faults: int = 0

    @property
    def total(self) -> int:
        return sum(self.requests.values())


# of a request: nothing, or "500", "503", "hang" before it is passed on, "lost" when the answer does not come back
Fault = Callable[[str, str], str]


def random_faults(share: float, seed: int) -> Fault:
    """Faults of all kinds for a share of the requests."""
    dice = random.Random(seed)
    return lambda method, path: (
        dice.choice(("500", "503", "hang", "lost", "lost")) if dice.random() < share else ""
    )


class Proxy:
    """Passes requests on as they are (a signature covers the host), in a thread of its own."""

    def __init__(self, endpoint: str, fault: Fault = lambda method, path: "", delay: float = 0.0) -> None:
        self._to = endpoint
        self.fault = fault
        self.delay = delay  # seconds before a request is passed on
        self.counts = Counts()
        self.endpoint = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._end = asyncio.Event()

    def __enter__(self) -> Proxy:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(60)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        async with ClientSession(
            connector=TCPConnector(limit=0), auto_decompress=False, timeout=ClientTimeout(total=120)
        ) as session:
            self._session = session
            runner = web.ServerRunner(web.Server(self._pass), shutdown_timeout=1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._ready.set()
            await self._end.wait()
            await runner.cleanup()

    async def _pass(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()  # of any size
        counts = self.counts
        counts.requests[request.method] = counts.requests.get(request.method, 0) + 1
        counts.written += len(body)
        fault = self.fault(request.method, request.raw_path)
        if fault:
            counts.faults += 1
        if fault in ("500", "503"):
            return web.Response(status=int(fault), text="<Error><Code>SlowDown</Code></Error>")
        if fault == "hang":
            await asyncio.sleep(1.5)
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        if self.delay:
            await asyncio.sleep(self.delay)
        async with self._session.request(
            request.method, URL(self._to + request.raw_path, encoded=True), headers=request.headers, data=body
        ) as answer:
            found = await answer.read()
            counts.read += len(found)
            if fault == "lost":
                return web.Response(status=500, text="<Error><Code>InternalError</Code></Error>")
            headers = {k: v for k, v in answer.headers.items() if k.lower() not in ("transfer-encoding",)}
            return web.Response(status=answer.status, headers=headers, body=None if request.method == "HEAD" else found)  # fmt: skip


if __name__ == "__main__":
    with S3Server(Path(sys.argv[1])) as server:
        print("\n".join(f"export {k}={v}" for k, v in environment(server.endpoint).items()), flush=True)
        print(f"# s3://{BUCKET}/…, until this is interrupted; process {os.getpid()}", flush=True)
        threading.Event().wait()

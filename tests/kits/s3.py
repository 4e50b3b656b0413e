"""A real S3 server for the tests, which looks at signatures and at when they are over (SeaweedFS)."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from deploy.local.server import free_port

WITHIN_S: Final = 180.0
BUCKET: Final = "evidence"
KEYS: Final = {"s3_access_key": "an-access-key", "s3_secret_key": "a secret key of the tests"}


@contextmanager
def running_s3(folder: Path) -> Iterator[dict[str, Any]]:
    """Start the server with its files in a folder, and give the settings that name it and its bucket."""
    credentials = [{"accessKey": KEYS["s3_access_key"], "secretKey": KEYS["s3_secret_key"]}]
    identity = {"name": "veritas", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}
    folder.mkdir()
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    names = ("master", "volume", "filer", "s3")
    ports = {f"{name}.port{grpc}": free_port() for name in names for grpc in ("", ".grpc")}
    command = [
        str(Path(sys.executable).with_name("weed")), "server", "-s3", f"-s3.config={config}",
        f"-dir={folder}",
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=20", "-master.volumeSizeLimitMB=64",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        endpoint = f"http://127.0.0.1:{ports['s3.port']}"
        _wait(child, endpoint, folder / "log")
        yield {"s3_endpoint": endpoint, **KEYS}
    finally:
        child.kill()  # it would take its time to say goodbye to itself
        child.wait()


def _wait(child: "subprocess.Popen[bytes]", endpoint: str, log: Path) -> None:
    """Wait until the server stores what is put into its bucket, which is made by that."""
    store = S3Store(
        BUCKET,
        config={
            "endpoint": endpoint,
            "region": "us-east-1",
            "access_key_id": KEYS["s3_access_key"],
            "secret_access_key": KEYS["s3_secret_key"],
        },
        client_options={"allow_http": True, "timeout": "5s"},
        retry_config={"max_retries": 0},
    )
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            obstore.put(store, "ready", b"yes")
            return
        except BaseError as error:
            last = f"{error}\n{log.read_text()[-3000:]}"
        assert child.poll() is None, last
        assert time.monotonic() < deadline, last
        time.sleep(0.2)

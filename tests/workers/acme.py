"""registry-storage-acme: a third party's executable, as short as one can be.

Run by the tests with parameters that make it misbehave.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from storagebus.drivers import FileInfo, StorageDriver
from storagebus.drivers.contract import Capabilities, Reader, Writer
from storagebus.drivers.errors import PathNotFoundError
from storagebus.workers import parameters, serve


class AcmeReader(Reader):
    def __init__(self, data):
        self._data, self._at = data, 0

    def read(self, size=-1, /):
        end = len(self._data) if size is None or size < 0 else self._at + size
        data = self._data[self._at : end]
        self._at += len(data)
        return data


class AcmeWriter(Writer):
    def __init__(self, driver, path):
        self._driver, self._path, self._data = driver, path, b""

    @property
    def size(self):
        return len(self._data)

    def write(self, data):
        self._data += data
        return len(data)

    def commit(self):
        self._driver.objects[self._path] = self._data
        self._note("committed")

    def cancel(self):
        self._data = b""

    def close(self):
        self._note("closed")

    def _note(self, what):
        if self._driver.note:
            with Path(self._driver.note).open("a") as file:
                file.write(f"{what} {self._path} {len(self._data)}\n")


class AcmeDriver(StorageDriver):
    name = "acme"
    capabilities = Capabilities(shared=False)

    def __init__(self, word="", note="", grandchild=False, nonblocking=False):
        self.objects = {"/word": word.encode()}
        self.note = note
        if nonblocking:
            self.capabilities = Capabilities(shared=False, nonblocking=True)
        if grandchild:
            child = subprocess.Popen(
                [sys.executable, "-c", "import time; time.sleep(99)"]
            )
            self.objects["/grandchild"] = str(child.pid).encode()

    def reader(self, path, offset=0, length=None, *, if_match=None):
        if path not in self.objects:
            raise PathNotFoundError(path=path)
        data = self.objects[path][offset:]
        return AcmeReader(data if length is None else data[:length])

    def writer(self, path, append=False, *, upload_id=None):
        return AcmeWriter(self, path)

    def stat(self, path):
        if path.startswith("/sleep/"):
            time.sleep(float(path.removeprefix("/sleep/")))
        if path.startswith("/until/"):
            # The end of a pipe that has a name: until somebody opens the other.
            os.close(os.open(path.removeprefix("/until"), os.O_RDONLY))
        if path == "/exit":
            raise SystemExit(3)
        if path == "/die":
            os._exit(4)
        if path == "/environment":
            return FileInfo(str(sorted(os.environ)), 0, None, True)
        if path not in self.objects:
            return FileInfo(path, 0, None, True)
        return FileInfo(path, len(self.objects[path]), None, False)

    def list(self, path):
        return sorted(self.objects)

    def move(self, source, destination):
        self.objects[destination] = self.objects.pop(source)

    def delete(self, path):
        self.objects.pop(path)


if __name__ == "__main__":
    serve(AcmeDriver(**parameters()))

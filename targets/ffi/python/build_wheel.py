"""Makes the wheel: the package, and the library that cargo builds. Needs Rust, and nothing but Python's own library.

`pip wheel .` and `pip install .` call it (PEP 517). One wheel serves every Python from 3.9 on, since the library knows nothing of
Python. `CURT_FFI_LIBRARY` names a library that is built already.
"""

import base64
import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[2]
NAMES = {"darwin": "libcurt_ffi.dylib", "win32": "curt_ffi.dll"}


def _library() -> Path:
    """The library, built where nobody has built it."""
    given = os.environ.get("CURT_FFI_LIBRARY")
    if given:
        return Path(given)
    subprocess.run(["cargo", "build", "--release", "--package", "curt-ffi"], cwd=CHECKOUT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target"))
    return target / "release" / NAMES.get(sys.platform, "libcurt_ffi.so")


def _project() -> dict:
    """The plain `key = "value"` lines of [project]."""
    text = (HERE / "pyproject.toml").read_text()
    section = text.split("[project]\n", 1)[1]
    fields = dict(re.findall(r'^([\w-]+) = "(.*)"$', section, re.M))
    fields["dependencies"] = re.findall(r'"([^"]+)"', re.search(r"^dependencies = \[(.*)\]$", section, re.M)[1])
    return fields


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Writes the wheel and gives its name."""
    project = _project()
    stem = f"{project['name']}-{project['version']}"
    tag = "py3-none-" + re.sub(r"[-.]", "_", sysconfig.get_platform())
    metadata = [
        "Metadata-Version: 2.1",
        f"Name: {project['name']}",
        f"Version: {project['version']}",
        f"Summary: {project['description']}",
        f"Requires-Python: {project['requires-python']}",
        f"License: {project['license']}",
        *(f"Requires-Dist: {name}" for name in project["dependencies"]),
        "Description-Content-Type: text/markdown",
        "",
        (HERE / project["readme"]).read_text(),
    ]
    wheel = ["Wheel-Version: 1.0", "Generator: curt", "Root-Is-Purelib: false", f"Tag: {tag}", ""]
    library = _library()
    files = {f"curt/{file.name}": file.read_bytes() for file in sorted((HERE / "curt").iterdir()) if file.is_file()}
    files[f"curt/{library.name}"] = library.read_bytes()
    files[f"{stem}.dist-info/METADATA"] = "\n".join(metadata).encode()
    files[f"{stem}.dist-info/WHEEL"] = "\n".join(wheel).encode()
    record = f"{stem}.dist-info/RECORD"
    rows = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[record] = "\n".join([*rows, f"{record},,", ""]).encode()
    name = f"{stem}-{tag}.whl"
    with zipfile.ZipFile(Path(wheel_directory) / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, content in files.items():
            # Without a time, so that the same content is the same wheel.
            archive.writestr(zipfile.ZipInfo(file), content, zipfile.ZIP_DEFLATED)
    return name


def build_sdist(sdist_directory, config_settings=None):
    """There is none: the library is built from the checkout."""
    raise NotImplementedError("curt is built from its checkout: pip install ./targets/ffi/python")


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()

"""Takes the ONNX Runtime library, what lies beside it and the licences out of a wheel.

usage: unpack_wheel.py WHEEL OUT_DIR MEMBER NAME    MEMBER is written as OUT_DIR/NAME
"""

import shutil
import sys
import zipfile
from pathlib import Path, PurePosixPath

wheel, out, member, name = sys.argv[1:]
beside = ("onnxruntime_providers_shared", "LICENSE", "ThirdPartyNotices")

with zipfile.ZipFile(wheel) as archive:
    for info in archive.infolist():
        path = PurePosixPath(info.filename)
        if path.parts[0] != "onnxruntime" or info.is_dir():
            continue
        if info.filename == member:
            target = Path(out, name)
        elif path.stem.removeprefix("lib") in beside:
            target = Path(out, path.name)
        else:
            continue
        # Reading to the end also checks the archive's CRC.
        with archive.open(info) as source, open(target, "wb") as sink:
            shutil.copyfileobj(source, sink)

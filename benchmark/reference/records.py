"""Records of finished runs: what of a run is kept, and how records are packed.

A record is a run directory without pictures and checkpoints, sealed anew. All records of a preset stand in one zip::

    quick.zip
        cmc-four_tasks-quick-seed0-1a2b3c4d/
            config.yaml, metrics.csv, curves.csv, outputs.csv, owned.csv, ledger.csv    as the run wrote them
            environment.json    as the run wrote it: versions, commit, processor, threads, device
            status.json         the same, without the process; and ``command``, which makes the run again
            checksums.json      SHA-256 of the files above
        finetune-four_tasks-quick-seed0-5e6f7a8b/
            ...

Beside them lies what a layer costs (Table 6), which is of no preset, as ``profile layer`` wrote it.

Unpacked, a record is read as any other run directory. An archive may come from a stranger: only files of these names
are taken from it, each into its place, and there is a bound to how many and how large they are.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.core.errors import UserError
from benchmark.core.files import named, regular
from benchmark.core.runs.directory import LAYER_PROFILE, Run
from benchmark.core.runs.schemas import TABLES
from benchmark.core.runs.seals import SEAL
from benchmark.core.runs.writing import write_text
from benchmark.reference import SHIPPED

FILES = ("config.yaml", "environment.json", "status.json", *TABLES, SEAL)
"""What of a run directory is in a record, as far as the run has it."""

LARGEST_SHIPPED = 3_000_000
"""Bytes that all archives that ship may have together."""

LARGEST = 2**25
"""Bytes that an archive may have."""
LARGEST_FILE = 2**24
"""Bytes that a file of a record may have, unpacked."""
LARGEST_RECORDS = 2**28
"""Bytes that all records of an archive may have, unpacked."""
MOST = 5000
"""Records that an archive may hold."""

MEND = "Restore it, or install the suite anew."

Files = Mapping[str, bytes]
"""The files of a record by their names."""


class Records:
    """The records in a folder, unpacked preset by preset as they are asked for, until this is closed.

    Args:
        folder: holds archives named after presets.
    """

    def __init__(self, folder: Path = SHIPPED) -> None:
        self.folder = folder
        self._place = TemporaryDirectory(prefix="reference-")
        self._unpacked: dict[str, Path] = {}

    def __enter__(self) -> "Records":
        return self

    def __exit__(self, *_: object) -> None:
        self._place.cleanup()

    @property
    def presets(self) -> list[str]:
        """The presets of which there are records."""
        return list(named(self.folder, ".zip"))

    @property
    def layer(self) -> Path | None:
        """The file of what a layer costs, if that has been kept."""
        path = self.folder / LAYER_PROFILE
        return path if path.exists() else None

    def place(self, preset: str) -> Path:
        """The folder into which the records of a preset are unpacked.

        Raises:
            UserError: the archive cannot be read, or not be unpacked, as onto a full disk.
        """
        if preset not in self._unpacked:
            place = Path(self._place.name) / str(len(self._unpacked))
            try:
                for name, files in unpack(self.folder, preset).items():
                    (place / name).mkdir(parents=True)
                    for file, content in files.items():
                        (place / name / file).write_bytes(content)
            except OSError as error:
                raise UserError(
                    f"Reference runs cannot be unpacked into '{place}': {error.strerror}. Make room there, or name "
                    "another folder for temporary files with the variable TMPDIR."
                ) from error
            self._unpacked[preset] = place
        return self._unpacked[preset]

    def runs(self, presets: Sequence[str] | None = None) -> list[Run]:
        """The records of some presets, or of all, as runs in order of their names.

        Raises:
            UserError: an archive cannot be read.
        """
        places = [self.place(preset) for preset in self.presets if presets is None or preset in presets]
        return [Run(path) for place in places if place.exists() for path in sorted(place.iterdir())]


def archive(folder: Path, preset: str) -> Path:
    """Where the records of a preset stand."""
    return folder / f"{preset}.zip"


def unpack(folder: Path, preset: str) -> dict[str, dict[str, bytes]]:
    """The records of a preset by the names of their runs; none where there is no archive.

    Raises:
        UserError: the archive is damaged, too large, or holds something else.
    """
    path = archive(folder, preset)
    if not path.exists():
        return {}
    found: dict[str, dict[str, bytes]] = {}
    try:
        with regular(path) as file, zipfile.ZipFile(file) as packed:
            if path.stat().st_size > LARGEST:
                raise ValueError(f"it has more than {LARGEST:,} bytes")
            entries = packed.infolist()
            if len(entries) > MOST * len(FILES) or sum(entry.file_size for entry in entries) > LARGEST_RECORDS:
                raise ValueError(f"it holds more than {MOST:,} records or {LARGEST_RECORDS:,} bytes of them")
            for entry in entries:
                name, content = _placed(entry.filename), _content(packed, entry)
                if name[1] in found.setdefault(name[0], {}):
                    raise ValueError(f"{entry.filename!r} stands in it twice")
                found[name[0]][name[1]] = content
    except UserError:
        raise
    except Exception as error:  # whatever a damaged archive leads zipfile, and what unpacks for it, to
        raise UserError(f"The records in '{path}' cannot be read: {error}. {MEND}") from error
    return dict(sorted(found.items()))


def pack(folder: Path, preset: str, records: Mapping[str, Files]) -> None:
    """Write the archive of a preset; equal records give equal bytes.

    Raises:
        UserError: it cannot be written.
    """
    path = archive(folder, preset)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name in sorted(records):
            for file in sorted(records[name]):
                entry = zipfile.ZipInfo(f"{name}/{file}")
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                packed.writestr(entry, records[name][file])
    try:
        write_text(path, stream.getvalue())
    except OSError as error:
        raise UserError(f"Cannot write '{path}': {error.strerror or error}. Choose another with --records.") from error


def _placed(name: str) -> tuple[str, str]:
    """The run and the file that an entry of an archive is of."""
    run, slash, file = name.partition("/")
    if not slash or file not in FILES or not run or run.startswith(".") or set(run) & set('\\/:\0<>"|?*'):
        raise ValueError(f"{name!r} is no file of a record")
    return run, file


def _content(packed: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with packed.open(entry) as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError(f"{entry.filename!r} has more than {LARGEST_FILE:,} bytes")
    return content

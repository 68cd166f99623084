"""Where the local stack keeps what: the data folder, and the folders of servers that run as somebody else."""

import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .accounts import Account, account_for, can_enter, give_to
from .environment import environment_path
from .errors import StackError

# Takes over where the data folder is closed to the servers' user: FLEET_DATA_DIR below a 0700 home of root.
SHELTERS = Path("/var/lib/fleet-local")
# A log that is larger than this at a start makes room: it becomes `….log.1`.
LOG_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DataDir:
    """The folder of everything that the local stack keeps (FLEET_DATA_DIR)."""

    root: Path

    def create(self) -> None:
        """Make the folder and its log folder if they are missing.

        As root the folder lets others through, because servers below it run as somebody else; what is secret in
        it is in files of mode 600.
        """
        if not self.root.exists():
            self.root.mkdir(parents=True)
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
        self.logs.mkdir(mode=0o700, exist_ok=True)

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets.json"

    @property
    def certificates(self) -> Path:
        return self.root / "certificates"

    @property
    def environment(self) -> Path:
        return environment_path(self.root)

    @property
    def beat_schedule(self) -> Path:
        return self.root / "beat.db"

    def log(self, name: str) -> Path:
        """Return the path of the log of `name`, with room in it."""
        path = self.logs / f"{name}.log"
        trim_log(path)
        return path

    def home(self, name: str, *, accounts: Sequence[str]) -> "Home":
        """Return the folder of server `name`, made, and as whom it runs (only root asks `accounts`)."""
        account = account_for(accounts)
        place = self.root
        if account is not None and not can_enter(self.root, account):
            place = self._shelter()
        return Home.create(place / name, account)

    def _shelter(self) -> Path:
        """Return a folder outside of the data folder that belongs to it and that others may pass.

        Its name is kept in the data folder: who deletes that gets empty databases, as expected.
        """
        name_file = self.root / "shelter"
        if not name_file.exists():
            name_file.write_text(f"{SHELTERS / secrets.token_hex(6)}\n", encoding="utf-8")
        shelter = Path(name_file.read_text(encoding="utf-8").strip())
        shelter.mkdir(parents=True, exist_ok=True)
        for folder in (shelter.parent, shelter):
            folder.chmod(0o711)
        return shelter


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one server's files and the user that it runs as (None: whoever started this)."""

    folder: Path
    account: Account | None = None

    @classmethod
    def create(cls, folder: Path, account: Account | None) -> "Home":
        """Return the home at `folder`, made if missing, readable by its account only."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if account is None and folder.stat().st_uid != os.geteuid():
            raise StackError(
                f"{folder} belongs to another user: was this started as root before? Start it as root again, or choose "
                "another folder with FLEET_DATA_DIR."
            )
        give_to(folder, account)
        return cls(folder, account)

    def write(self, name: str, text: str) -> Path:
        """Write `text` to the file `name` beside the home and return its path; only the account can read it.

        Beside and not in it: what root writes into a folder of another user may be led elsewhere by a link there.
        """
        path = self.folder.with_name(f"{self.folder.name}.{name}")
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if self.account is not None:
                os.fchown(descriptor, self.account.uid, self.account.gid)
            file.write(text)
        return path

    def reachable(self, *packages: Path, name: str) -> Path:
        """Return the first of `packages` at a place that the server's user can read.

        packages: sibling folders that must stay siblings (a program and its libraries). They are copied next to
        the home when their own place is closed to that user; `name`, with a release, tells the copies apart.
        """
        if all(can_enter(package, self.account, and_read=True) for package in packages):
            return packages[0]
        copies = self.folder.parent / "programs"
        place = copies / name
        if not place.exists():
            copies.mkdir(mode=0o755, exist_ok=True)
            fresh = copies / f"{name}.{secrets.token_hex(4)}.new"
            for package in packages:
                shutil.copytree(package, fresh / package.name)
            for folder in (copies, fresh):
                folder.chmod(0o755)
            # In one step: a start that is killed while it copies leaves nothing half.
            fresh.rename(place)
        return place / packages[0].name


def trim_log(path: Path, *, limit_bytes: int = LOG_BYTES) -> None:
    """Move the content of the log at `path` to `….1` when it is larger than `limit_bytes`.

    The file itself stays, because a running program may be appending to it; what it writes between the copy and
    the cut is lost.
    """
    if not path.exists() or path.stat().st_size <= limit_bytes:
        return
    shutil.copyfile(path, path.with_name(path.name + ".1"))
    os.truncate(path, 0)

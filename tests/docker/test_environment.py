"""docker/env.example names every variable that is read, and no other."""

import ast
import re
from collections.abc import Iterator

import pytest

from .broker import REPOSITORY

PACKAGES = ("fleet", "sensors", "config", "telemetry", "alerts")
# The system's own, or one process of the service telling its child; nothing that a person sets.
NOT_SETTINGS = {
    "DJANGO_SETTINGS_MODULE",
    "HOME",
    "LANG",
    "PATH",
    "TMPDIR",
    "TZ",
    # fleet/stack/amqtt_server.py to its child.
    "FLEET_AMQTT",
}
_NAME = re.compile(r"[A-Z][A-Z0-9_]+")
_ENVIRONMENTS = {"env", "environ"}


def _is_environment(node: ast.expr) -> bool:
    """Return whether `node` is `env`, `environ` or `os.environ`."""
    if isinstance(node, ast.Name):
        return node.id in _ENVIRONMENTS
    return isinstance(node, ast.Attribute) and node.attr in _ENVIRONMENTS


def _reads(node: ast.AST) -> ast.expr | None:
    """Return the expression that names the variable which `node` reads; None if it reads none."""
    match node:
        case ast.Call(func=ast.Attribute(value=value, attr=method), args=[name, *_]) if _is_environment(value):
            # What is only given a default for others is not read.
            return None if method == "setdefault" else name
        case ast.Call(func=function, args=[name, *_]) if _is_environment(function):
            return name
        # A helper that is given the environment and a name in it.
        case ast.Call(args=[value, name, *_]) if _is_environment(value):
            return name
        case ast.Call(func=ast.Attribute(attr="getenv"), args=[name, *_]):
            return name
        case ast.Subscript(value=value, slice=name, ctx=ast.Load()) if _is_environment(value):
            return name
        case ast.Compare(left=name, ops=[ast.In() | ast.NotIn()], comparators=[value]) if _is_environment(value):
            return name
    return None


def _names_in_python(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        name = _reads(node)
        if isinstance(name, ast.Constant) and isinstance(name.value, str) and _NAME.fullmatch(name.value):
            names.add(name.value)
    return names


def _read_by_python() -> Iterator[tuple[str, str]]:
    files = [REPOSITORY / "manage.py", *(REPOSITORY / "docker").glob("*.py")]
    for package in PACKAGES:
        files += (REPOSITORY / package).rglob("*.py")
    for path in files:
        for name in _names_in_python(path.read_text()):
            yield name, str(path.relative_to(REPOSITORY))


def _defaults_in_settings() -> Iterator[tuple[str, str]]:
    """Yield (name, default as a line of env.example would say it) where the default is a plain value."""
    for node in ast.walk(ast.parse((REPOSITORY / "fleet/settings.py").read_text())):
        name = _reads(node)
        if not isinstance(node, ast.Call) or not isinstance(name, ast.Constant):
            continue
        for keyword in node.keywords:
            if keyword.arg == "default" and _is_arithmetic(keyword.value):
                value = eval(compile(ast.Expression(keyword.value), "default", "eval"), {"__builtins__": {}})
                text = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
                yield str(name.value), "" if value is None else text


def _is_arithmetic(node: ast.expr) -> bool:
    """Return whether `node` is a constant, or built of constants and operators only."""
    allowed = (ast.Constant, ast.BinOp, ast.operator)
    return all(isinstance(part, allowed) for part in ast.walk(node))


def _read_by_docker() -> Iterator[tuple[str, str]]:
    """Yield what compose.yml takes from .env, and what the container's start takes from its environment."""
    for path in (REPOSITORY / "docker/compose.yml", REPOSITORY / "docker/entrypoint.sh"):
        for name in re.findall(r"\$\{([A-Z][A-Z0-9_]+)[:}-]", path.read_text()):
            yield name, str(path.relative_to(REPOSITORY))


def _documented() -> dict[str, str]:
    """Return name → the line above it, for every variable of env.example, set or shown with its default."""
    lines = (REPOSITORY / "docker/env.example").read_text().splitlines()
    documented = {}
    for above, line in zip(["", *lines], lines, strict=False):
        if found := re.match(r"#?([A-Z][A-Z0-9_]+)=", line):
            assert found[1] not in documented, f"{found[1]} stands there twice"
            documented[found[1]] = above
    return documented


def test_every_variable_that_is_read_is_documented_and_every_documented_one_is_read() -> None:
    read: dict[str, str] = {}
    for name, where in (*_read_by_python(), *_read_by_docker()):
        if name not in NOT_SETTINGS:
            read.setdefault(name, where)
    documented = _documented()
    undocumented = {name: where for name, where in read.items() if name not in documented}
    assert undocumented == {}, "add them to docker/env.example"
    assert documented.keys() - read.keys() == set(), "nothing reads these any more"


def test_the_defaults_that_are_shown_are_those_of_the_settings() -> None:
    lines = (REPOSITORY / "docker/env.example").read_text().splitlines()
    shown = dict(line[1:].split("=", 1) for line in lines if re.match(r"#[A-Z][A-Z0-9_]+=", line))
    # These are set by compose.yml or `manage.py up`, or differ there; the example says so.
    elsewhere = {"DATABASE_URL", "REDIS_URL", "MQTT_URL"}
    defaults = {name: text for name, text in _defaults_in_settings() if name in shown.keys() - elsewhere}
    assert len(defaults) > 5
    assert {name: shown[name] for name in defaults} == defaults


def test_every_variable_has_a_comment_of_one_line() -> None:
    for name, above in _documented().items():
        assert re.match(r"# [A-Z].*\S$", above), f"{name} has no comment above it"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('env.int("A_B", default=1)', {"A_B"}),
        ('env("A_B")', {"A_B"}),
        ('os.environ.get("A_B", "")', {"A_B"}),
        ('os.environ["A_B"]', {"A_B"}),
        ('os.getenv("A_B")', {"A_B"}),
        ('x = "A_B" in os.environ', {"A_B"}),
        ('_port(environ, "A_B", 1883)', {"A_B"}),
        ('os.environ["A_B"] = "written"', set()),
        ('os.environ.setdefault("A_B", "given")', set()),
        ('settings.get("A_B")', set()),
    ],
)
def test_the_search_sees_every_way_of_reading(source: str, names: set[str]) -> None:
    assert _names_in_python(source) == names

"""compose.yaml, as far as that goes without containers: no secret in it, no default password, nothing open."""

import configparser
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from localizer import config

pytestmark = pytest.mark.server

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = config.read_yaml(ROOT / "compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]
SHARING = (ROOT / "docs/how-to/share.md").read_text(encoding="utf-8")
VARIABLE = re.compile(r"\$\{(\w+)(:[-?])?")
SECRET = re.compile("PASSWORD|SECRET|KEY")


def test_compose_yaml_follows_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_every_secret_comes_from_the_environment_and_none_has_a_default(name: str) -> None:
    given = {key: value for key, value in SERVICES[name]["environment"].items() if SECRET.search(key)}
    assert given
    for value in given.values():
        assert re.fullmatch(r"\$\{LOCALIZER_\w+:\?[^}]+\}", value), value


def test_every_variable_is_explained_and_every_explained_variable_is_there() -> None:
    used, told = {name for name, _ in VARIABLE.findall(TEXT)}, set(re.findall(r"LOCALIZER_\w+", SHARING))
    assert used == told
    assert used == {name for row in re.findall(r"^\| (`LOCALIZER.*?) \|", SHARING, re.MULTILINE) for name in names(row)}


def names(cell: str) -> list[str]:
    return re.findall(r"LOCALIZER_\w+", cell)


def test_a_secret_is_demanded_and_only_addresses_have_a_default() -> None:
    kinds = dict(VARIABLE.findall(TEXT))
    assert {name for name, kind in kinds.items() if kind == ":-"} == {
        "LOCALIZER_ADDRESS",
        "LOCALIZER_HOSTS",
        "LOCALIZER_ORIGINS",
        "LOCALIZER_S3_URL",
    }
    assert set(kinds.values()) == {":-", ":?"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_checked_restarted_and_open_to_this_machine_only(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert all(port.startswith("${LOCALIZER_ADDRESS:-127.0.0.1}:") for port in service.get("ports", []))


def test_postgres_can_be_reached_by_mlflow_alone() -> None:
    assert "ports" not in SERVICES["postgres"]


def test_images_are_pinned_to_a_version() -> None:
    images = [service["image"] for service in SERVICES.values() if "image" in service]
    images += re.findall(r"^FROM (\S+)", (ROOT / SERVICES["mlflow"]["build"]["dockerfile"]).read_text(), re.MULTILINE)
    assert len(images) == len(SERVICES)
    assert not [image for image in images if not re.search(r":\d+\.\d+", image)]


def test_what_a_service_keeps_lies_in_a_volume_of_its_own_name() -> None:
    assert {name: place.partition(":")[0] for name in ("postgres", "store") for place in SERVICES[name]["volumes"]} == {
        name: name for name in COMPOSE["volumes"]
    }


def test_mlflow_knows_every_option_that_it_is_started_with() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "server", "--help"], capture_output=True, text=True, check=True
    )
    options = [word.partition("=")[0] for word in SERVICES["mlflow"]["command"] if word.startswith("--")]
    assert {"--app-name", "--allowed-hosts", "--artifacts-destination"} <= set(options)
    assert not [option for option in options if not re.search(rf"{option}\b", done.stdout)]


def test_users_lie_in_a_database_of_their_own_and_no_password_is_in_the_file() -> None:
    users = configparser.ConfigParser()
    users.read_string((ROOT / COMPOSE["configs"]["basic_auth"]["file"]).read_text(encoding="utf-8"))
    own = make_url(users["mlflow"]["database_uri"])
    assert own.password is None
    assert own.database == "users"
    made = (ROOT / COMPOSE["configs"]["users_database"]["file"]).read_text(encoding="utf-8")
    assert f"CREATE DATABASE {own.database};" in made
    (store,) = (word for word in SERVICES["mlflow"]["command"] if word.startswith("--backend-store-uri="))
    assert make_url(store.partition("=")[2]).database == SERVICES["postgres"]["environment"]["POSTGRES_DB"]
    assert "admin_password" not in users["mlflow"]


def test_the_pages_hosts_include_those_that_its_commands_ask_and_come_with_their_origins() -> None:
    asked = set(re.findall(r"^curl .* http://([\w.:]+)/", SHARING, re.MULTILINE))
    assert asked == {"127.0.0.1:5000"}
    examples = re.findall(r"^export LOCALIZER_HOSTS=(\S+) LOCALIZER_ORIGINS=https?://(\S+)$", SHARING, re.MULTILINE)
    assert len(examples) == SHARING.count("LOCALIZER_HOSTS=") == 2
    for hosts, origin in examples:
        assert set(hosts.split(",")) == asked | {origin, "localhost:5000"}


def test_the_page_names_a_proxy_for_every_port_that_it_gives_a_name() -> None:
    proxied = dict(re.findall(r"^(\S+) \{\n\treverse_proxy 127.0.0.1:(\d+)\n\}", SHARING, re.MULTILINE))
    ports = {port.split(":")[-1] for service in SERVICES.values() for port in service.get("ports", [])}
    assert set(proxied.values()) == ports
    assert set(proxied) == set(re.findall(r"https://(\w+\.example\.org)", SHARING))


def test_a_backup_and_its_restoration_touch_one_folder_of_their_own() -> None:
    section = SHARING.partition("## Back up")[2].partition("\n## ")[0]
    backup, restore = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    for script in (backup, restore):
        assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
        places = re.findall(r"\S*(?:sql\.gz|store/\.|/store\b)\S*", script)
        assert len(places) == 2
        assert all(place.startswith('"$backup/') for place in places)
    assert re.match(r'backup="[^"]*\$\(date [^"]*%S\)" && mkdir ', backup)
    assert "--wait postgres" in restore
    assert "psql -v ON_ERROR_STOP=1" in restore


def test_the_commands_of_the_docs_name_the_databases_that_there_are() -> None:
    named = set(re.findall(r"postgresql\+psycopg2:///(\w+)", SHARING))
    assert named == {SERVICES["postgres"]["environment"]["POSTGRES_DB"], "users"}


def test_the_image_is_built_from_the_lock_by_hash() -> None:
    dockerfile = (ROOT / SERVICES["mlflow"]["build"]["dockerfile"]).read_text(encoding="utf-8")
    assert "--require-hashes" in dockerfile
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert [line for line in ignored if not line.startswith("#")] == ["*", "!requirements-server.lock"]

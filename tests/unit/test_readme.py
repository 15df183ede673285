import re
from pathlib import Path

from offload_api.settings import ApiSettings
from offload_shared.settings import PREFIX
from offload_worker.settings import WorkerSettings

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_lists_every_setting_and_no_other() -> None:
    listed = set(re.findall(rf"`({PREFIX}[A-Z_]+)`", README.read_text()))
    fields = {*ApiSettings.__struct_fields__, *WorkerSettings.__struct_fields__}

    assert {PREFIX + field.upper() for field in fields} == listed

"""The size of the environment: the wheel that pip would take counts, once, and no package of another system."""

import sys
import sysconfig

LOCK = """
lock-version = "1.0"
[[packages]]
name = "both"
wheels = [{{url = "https://x/both-1-py3-none-any.whl", size = 7}}, {{url = "https://x/both-1-{own}.whl", size = 10}},
          {{url = "https://x/both-1-cp399-cp399-any.whl", size = 1000}}]
sdist = {{url = "https://x/both-1.tar.gz", size = 5}}
[[packages]]
name = "source"
sdist = {{url = "https://x/source-1.tar.gz", size = 200}}
[[packages]]
name = "elsewhere"
marker = "sys_platform == 'nowhere'"
wheels = [{{url = "https://x/elsewhere-1-py3-none-any.whl", size = 4000}}]
"""


def test_download_counts_what_pip_takes_here(benchmark):
    python, platform = f"cp3{sys.version_info.minor}", sysconfig.get_platform().replace("-", "_").replace(".", "_")
    own = f"{python}-{python}-{platform}"
    assert benchmark("installation").download(LOCK.format(own=own)) == 210

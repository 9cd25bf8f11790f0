"""A service is rolled out on Kubernetes, and nobody notices."""

from collections.abc import Callable, Iterator

import pytest
from conftest import BakeFunction, load_images
from rollout import SCENARIOS, Figures, Trial
from support import CHOICES

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", params=CHOICES["interface"])
def trial(
    request: pytest.FixtureRequest,
    bake_session: BakeFunction,
    cluster: None,
    engine: None,
    network: None,
) -> Iterator[Trial]:
    """Yield a service whose images are on the nodes."""
    slug = f"rollout-{request.param}"
    baked = bake_session(project_slug=slug, interface=request.param)
    # any tag but latest, which every pod would pull
    images = (f"{slug}:1", f"{slug}:1-minimal")
    baked.make("docker", "minimal", IMAGE=images[0])
    load_images(*images)
    with Trial(baked.path, *images) as trial:
        yield trial


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scenario(
    trial: Trial,
    scenario: Callable[[Trial], Figures],
    record_property: Callable[[str, object], None],
) -> None:
    for name, figure in scenario(trial).items():
        record_property(name, figure)

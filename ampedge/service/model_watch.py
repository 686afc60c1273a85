"""The model that runs and the one to run next: taken over between two cycles, or refused while the old goes on."""

import logging
from datetime import UTC, datetime

from ampedge.errors import AmpedgeError
from ampedge.log import logger
from ampedge.model.bundle import Bundle
from ampedge.model.keeper import Keeper, stamp
from ampedge.service.refusal import refusal
from ampedge.service.service import Service
from ampedge.site_map import model_path, site_bundle

LOOK_S = 2.0


class ModelWatch:
    """Looks at the place of the model now and then, and keeps copies of what has run well.

    `problem` says why what lies there does not run, None while it does.
    Used by one thread, which is none of those that poll.
    """

    def __init__(self, service: Service, keeper: Keeper, said: str) -> None:
        self._service = service
        self._keeper = keeper
        self._kept: Bundle | None = None
        self._looked_s = service.clock.monotonic()
        self.loaded(said)

    def loaded(self, said: str, *, goes_on: bool = False) -> None:
        """The service has just begun to run what was chosen for the config; `said` is how the choice was explained.

        `goes_on` says that it is the one that ran before, because the new one is refused.
        """
        bundle = self._service.bundle
        self._path, _ = model_path(self._service.config, self._keeper)
        self._stamp = stamp(self._path)
        self.since = datetime.now(UTC)
        is_copy = bundle.path != self._path  # because what lies there is refused, or was rolled back
        self.rolled_back = is_copy and not goes_on and self._keeper.record().rolled_back is not None
        self.problem: str | None = said if goes_on or (is_copy and not self.rolled_back) else None
        which = "" if is_copy or goes_on else f" Version {bundle.manifest.version}."
        logger.log(logging.ERROR if self.problem else logging.INFO, "%s%s", said, which)

    def turn(self) -> None:
        """What is to be done now and then; called about four times a second."""
        self._keep()
        now_s = self._service.clock.monotonic()
        if not self._service.config.settings.watch_model or now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        if stamp(self._path) != self._stamp:
            self._take_over()

    def obey(self) -> None:
        """Take over another model at once where the one that runs was rolled back, whatever else is wrong."""
        if self._keeper.rolled_back(self._service.bundle):
            self._take_over()

    def _take_over(self) -> None:
        """Load what lies there beside what runs, and swap; if anything is wrong, what runs goes on."""
        service, running = self._service, self._service.bundle
        self._stamp = stamp(self._path)
        try:
            bundle, said = site_bundle(service.config, self._keeper, running=running)
            service.think_with(bundle)
        except Exception as error:  # whatever it is, a service that runs does not end because of it
            self.problem = f"{refusal(error)} Version {running.manifest.version} goes on."
            logger.error("%s", self.problem)
            return
        self.loaded(said)

    def _keep(self) -> None:
        """Keep a copy of a model that has given a label."""
        service = self._service
        bundle = service.bundle
        if service.state.path is None:
            self._kept = None  # the directory has gone, and its copies with it
        if bundle is self._kept or service.state.path is None:
            return
        if any(loop.latest is not None and loop.latest.class_name is not None for loop in service.devices):
            self._kept = bundle
            try:
                self._keeper.keep(bundle, self._path)
            except AmpedgeError as error:
                logger.error("No copy of the model could be kept: %s", error.problem)

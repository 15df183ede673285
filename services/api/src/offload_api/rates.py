"""Limits how many requests a tenant sends, across every API process, without a statement for each.

A process takes requests out of the tenant's bucket in the store and serves that many before it asks again. Under load
it takes twice as many each time, so that a statement is shared by more and more; what it has not used within two
seconds is lost, so that no process ever serves more than the bucket held.
"""

import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus

import msgspec

from offload_api.coalescing import Coalescer
from offload_api.problems import Problem
from offload_shared.store.rates import WINDOW_SECONDS, Grant

KEPT_SECONDS = 2.0
#: Of the quota that a process takes at once.
LARGEST_SHARE = 0.05
#: Past so many tenants what is known of them is forgotten.
MOST_TENANTS = 10_000
POLICY = "requests"


class _Account(msgspec.Struct):
    left: int = 0  # taken and not used yet
    until: float = 0.0  # by the process's clock: then it is lost
    size: int = 1  # how many are taken at once
    grant: Grant = Grant(0, 0, 0.0, 0.0)
    granted_at: float = 0.0
    refused_until: float = 0.0


class RateLimiter:
    """`take` takes requests out of the tenants' buckets."""

    def __init__(
        self,
        take: Callable[[Mapping[str, int]], Awaitable[dict[str, Grant]]],
        *,
        per_window: int,
        answer_seconds: float = 2.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._take = take
        self._largest = max(1, int(per_window * LARGEST_SHARE))
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self._turns: Coalescer[str, bool] = Coalescer(self._refill, answer_seconds=answer_seconds)
        self._policy = f'"{POLICY}";q={per_window};w={WINDOW_SECONDS}'

    async def spend(self, tenant: str) -> dict[str, str]:
        """Count a request and return the headers that tell of the limit; raises `Problem` 429, `StoreUnavailable`."""
        account = self._account(tenant)
        now = self._clock()
        if account.left and now < account.until:
            account.left -= 1
        elif now < account.refused_until or not await self._turns.submit(tenant):
            raise self._refusal(self._account(tenant))
        return self._headers(self._account(tenant))

    def _account(self, tenant: str) -> _Account:
        if len(self._accounts) > MOST_TENANTS:
            self._accounts.clear()
        return self._accounts.setdefault(tenant, _Account())

    async def _refill(self, tenants: Sequence[str]) -> list[bool]:
        asked = Counter(tenants)
        # What the turn before took, while these waited for theirs, is theirs first; nobody else has it meanwhile.
        left = {tenant: self._withdraw(self._account(tenant)) for tenant in asked}
        amounts = {tenant: self._amount(tenant, number - left[tenant]) for tenant, number in asked.items()}
        wanted = {tenant: amount for tenant, amount in amounts.items() if amount > 0}
        try:
            grants = await self._take(wanted) if wanted else {}
        finally:
            for tenant, number in left.items():
                self._account(tenant).left += number
        now = self._clock()
        for tenant, grant in grants.items():
            account = self._account(tenant)
            account.left, account.until = account.left + grant.granted, now + KEPT_SECONDS
            account.grant, account.granted_at = grant, now
            if not grant.remaining:
                account.refused_until = now + grant.next_seconds
        return [self._use(self._account(tenant)) for tenant in tenants]

    def _withdraw(self, account: _Account) -> int:
        left, account.left = account.left if self._clock() < account.until else 0, 0
        return left

    def _amount(self, tenant: str, missing: int) -> int:
        if missing <= 0:
            return 0
        account = self._account(tenant)
        # What was used up in time shows that more will be; what was not, that it will not.
        account.size = min(2 * account.size, self._largest) if self._clock() < account.until else 1
        return max(missing, account.size)

    @staticmethod
    def _use(account: _Account) -> bool:
        served = account.left > 0
        account.left -= served
        return served

    def _headers(self, account: _Account) -> dict[str, str]:
        left = account.grant.remaining + account.left
        full = max(0.0, account.granted_at + account.grant.full_seconds - self._clock())
        return {"RateLimit-Policy": self._policy, "RateLimit": f'"{POLICY}";r={left};t={math.ceil(full)}'}

    def _refusal(self, account: _Account) -> Problem:
        wait = max(1, math.ceil(account.refused_until - self._clock()))
        headers = {**self._headers(account), "Retry-After": str(wait)}
        detail = "Your tenant sends more requests than it may; RateLimit-Policy says how many that is."
        return Problem(HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests", "Too many requests", detail, headers=headers)

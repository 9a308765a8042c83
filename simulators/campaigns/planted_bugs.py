"""The planted bugs: ways in which ledgers are known to lose or double something, each as a change of a text
that stands once in a source file, and the narrowest test that has to notice.

Whoever changes such a line changes its row here; `tests/ledger/test_mutations.py` holds that they fit.
Nothing is run here, see `mutations`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PlantedBug:
    """`old` in `file` becomes `new`. check: the test, as pytest names it, that fails then."""

    name: str
    file: str
    old: str
    new: str
    check: str


# Sources.
_BOOK = "switch/ledger/book.py"
_CHECKPOINT = "switch/ledger/checkpoint.py"
_DECIDE = "switch/authorizer/decide.py"
_FOLLOWING = "switch/authorizer/following.py"
_LOTS = "switch/ledger/lots.py"
_MOVEMENTS = "switch/authorizer/movements.py"
_PIPELINE = "switch/server/pipeline.py"
_POSTGRES = "switch/ledger/postgres.py"
_POSTGRES_CONNECTION = "switch/ledger/postgres_connection.py"
_POSTGRES_STATEMENTS = "switch/ledger/postgres_statements.py"
_ROWS = "switch/ledger/rows.py"
_SEAL = "switch/ledger/seal.py"
_SQLITE = "switch/ledger/sqlite.py"
_STATE = "switch/ledger/state.py"
_VERIFY = "switch/ledger/verify.py"

# Tests.
_ENGINE = "tests/ledger/test_engine.py::"
_FAILING = "tests/server/test_failing_ledger.py::"
_FOLLOW = "tests/authorizer/test_following.py::"
_LOT = "tests/ledger/test_lots.py::"
_ON_POSTGRES = "tests/ledger/test_postgres.py::"
_PROOFS = "tests/server/test_member_proofs.py::"
_POWER = "tests/ledger/test_power_cuts.py::"
_SERIALS = "tests/server/test_key_serials.py::"
_STATES = "tests/ledger/test_state.py::"
_TRANSACTIONS = "tests/server/test_transactions.py::"
_VERIFYING = "tests/ledger/test_verify.py::"

_DURABLE: Final = (
    PlantedBug(
        "answer before the commit",
        _PIPELINE,
        "        stored = len(changes.entries)\n",
        "        self._release(answers)\n        answers = []\n        stored = len(changes.entries)\n",
        f"{_FAILING}test_where_nobody_knows_whether_it_is_booked_nothing_is_said",
    ),
    PlantedBug(
        "an error of the commit is swallowed",
        _SQLITE,
        '                self._writer.execute("COMMIT")\n            except BaseException:\n'
        "                self.rollback()\n                raise\n",
        '                self._writer.execute("COMMIT")\n            except BaseException:\n'
        "                self.rollback()\n                return\n",
        f"{_POWER}test_after_a_failed_sync_nothing_more_is_written_and_a_new_process_goes_on",
    ),
    PlantedBug(
        "an unknown outcome is told as refused",
        _PIPELINE,
        "        batch.in_doubt |= not isinstance(error, ConflictError | FencedError)",
        "        batch.in_doubt |= False",
        f"{_FAILING}test_where_nobody_knows_whether_it_is_booked_nothing_is_said",
    ),
    PlantedBug(
        "after a failed commit the memory is gone on with",
        _PIPELINE,
        "        self._state = None\n        try:\n            self._engine.rollback()",
        "        try:\n            self._engine.rollback()",
        f"{_FAILING}test_one_failed_commit_is_asked_again_and_nobody_notices",
    ),
    PlantedBug(
        "`synchronous=NORMAL`",
        _SQLITE,
        "PRAGMA synchronous = FULL",
        "PRAGMA synchronous = NORMAL",
        f"{_POWER}test_no_power_cut_loses_what_was_told_or_leaves_half_of_anything",
    ),
    PlantedBug(
        "a failed fsync is tried again",
        _SQLITE,
        "        if self._distrusted:\n            raise NotSynced(self._distrusted)\n",
        "",
        f"{_POWER}test_after_a_failed_sync_nothing_more_is_written_and_a_new_process_goes_on",
    ),
    PlantedBug(
        "what the system remembers of the write-ahead log is believed after a restart",
        _SQLITE,
        "            self._write_log_anew()\n",
        "",
        f"{_POWER}test_no_power_cut_loses_what_was_told_or_leaves_half_of_anything",
    ),
    PlantedBug(
        "the log's checkpoint never restarts it",
        _SQLITE,
        "        if self._finish_checkpoint or self._log_pages >= LONGEST_LOG_PAGES:\n",
        "        if self._log_pages >= LONGEST_LOG_PAGES**2:\n",
        "tests/ledger/test_sqlite_failures.py::test_the_write_ahead_log_starts_over",
    ),
    PlantedBug(
        "an owner that lost its buckets writes (SQLite)",
        _SQLITE,
        "                if current != epoch:\n",
        "                if current < epoch:\n",
        f"{_ENGINE}test_only_the_newest_owner_writes[sqlite]",
    ),
    PlantedBug(
        "a fenced switch goes on",
        _PIPELINE,
        '            self._stop("the ledger has another owner")\n',
        "            self._stopped = False\n",
        f"{_FAILING}test_a_fenced_switch_answers_91_and_stops",
    ),
    PlantedBug(
        "what a commit left unknown is no gap of the archive",
        "switch/server/archiving.py",
        "            self._unknown()\n            raise\n",
        "            raise\n",
        "tests/server/test_archiving.py::test_a_commit_that_was_stored_though_nobody_knew_leaves_no_hole",
    ),
)

_POSTGRESQL: Final = (
    PlantedBug(
        "an unknown outcome is guessed as committed",
        _POSTGRES,
        "        with self._writing() as connection:\n"
        "            answer = self._send(connection, staged)\n        if answer == FENCED:\n",
        "        answer = 1\n        with suppress(LedgerUnavailable), self._writing() as connection:\n"
        "            answer = self._send(connection, staged)\n        if answer == FENCED:\n",
        f"{_ON_POSTGRES}test_a_connection_cut_at_any_byte_of_a_commit_is_resolved_by_the_ledger",
    ),
    PlantedBug(
        "an unknown outcome is guessed as failed",
        _POSTGRES,
        "if error.sqlstate is not None and error.sqlstate.startswith(_REFUSED):",
        "if error.sqlstate is None or error.sqlstate.startswith(_REFUSED):",
        f"{_ON_POSTGRES}test_a_connection_cut_at_any_byte_of_a_commit_is_resolved_by_the_ledger",
    ),
    PlantedBug(
        "a batch is sent again after it was stored",
        _POSTGRES,
        "            assert row is not None\n            return int(row[0])\n",
        "            assert row is not None\n            if tries > 1:\n                return int(row[0])\n",
        f"{_ENGINE}test_what_was_committed_comes_back_from_every_look_up[postgres-True]",
    ),
    PlantedBug(
        "a batch that met a serialization failure is given up",
        _POSTGRES,
        "MOST_TRIES = 5\n",
        "MOST_TRIES = 1\n",
        f"{_ON_POSTGRES}test_a_deadlock_or_serialization_failure_sends_the_same_batch_again",
    ),
    PlantedBug(
        "an owner that lost its buckets writes (PostgreSQL)",
        _POSTGRES_STATEMENTS,
        'last_bucket = %s AND epoch = %s"\n    " AND writer = %s FOR SHARE)"',
        'last_bucket = %s AND epoch >= %s"\n    " AND writer >= %s FOR SHARE)"',
        f"{_ENGINE}test_only_the_newest_owner_writes[postgres]",
    ),
    PlantedBug(
        "what a given up connection has under way is not fenced",
        _POSTGRES_STATEMENTS,
        'AND writer = %s FOR SHARE)"',
        'AND writer >= %s FOR SHARE)"',
        f"{_ON_POSTGRES}test_what_a_lost_connection_has_under_way_is_never_stored_after_a_new_start",
    ),
    PlantedBug(
        "a new connection doesn't fence the lost one",
        _POSTGRES,
        "                    self._renew_writer(self._writer)\n",
        "",
        f"{_ON_POSTGRES}test_what_a_lost_connection_has_under_way_is_never_stored_after_a_new_start",
    ),
    PlantedBug(
        "who takes over doesn't wait for the batch under way",
        _POSTGRES_STATEMENTS,
        ' FOR SHARE)"',
        ')"',
        "tests/ledger/test_postgres_faults.py::test_who_takes_over_waits_for_the_batch_under_way",
    ),
    PlantedBug(
        "a member that changed meanwhile is overwritten",
        _POSTGRES_STATEMENTS,
        " AND m.last_entry = r.before",
        "",
        f"{_ENGINE}test_a_batch_that_contradicts_the_store_is_refused_whole"
        "[postgres-member changed meanwhile]",
    ),
    PlantedBug(
        "an account's sum is replaced, not added to",
        _POSTGRES_STATEMENTS,
        "SET balance = account.balance + excluded.balance",
        "SET balance = excluded.balance",
        f"{_ENGINE}test_two_batches_are_as_one[postgres]",
    ),
    PlantedBug(
        "`synchronous_commit=off`",
        _POSTGRES_CONNECTION,
        "\" ELSE 'on' END\"",
        "\" ELSE 'off' END\"",
        f"{_ON_POSTGRES}test_a_commit_waits_for_the_disk_whatever_the_servers_default",
    ),
    PlantedBug(
        "a server that doesn't sync is taken",
        _POSTGRES_CONNECTION,
        'for name in ("fsync", "full_page_writes"):',
        'for name in ("full_page_writes",):',
        f"{_ON_POSTGRES}test_a_server_that_forgets_is_refused",
    ),
    PlantedBug(
        "two owners make the same entry id",
        _STATE,
        "        self._first_slot = first * _SLOTS_OF_BUCKET\n",
        "        self._first_slot = 0\n",
        f"{_ON_POSTGRES}test_owners_never_make_the_same_entry_id",
    ),
    PlantedBug(
        "what another owner may have changed is remembered",
        _STATE,
        "            self._members.forget(member)\n",
        "            pass\n",
        "tests/ledger/test_lent.py::test_what_others_may_change_is_asked_for_in_each_batch",
    ),
)

_ONCE: Final = (
    PlantedBug(
        "no look whether it was seen before",
        _DECIDE,
        "        seen = state.entry(request.identity)\n        if seen is not None:\n",
        "        seen = state.entry(request.identity)\n        if seen is not None and not request:\n",
        f"{_TRANSACTIONS}test_a_repeated_advice_counts_once",
    ),
    PlantedBug(
        "identity without fingerprint",
        _DECIDE,
        "Repeat(seen) if seen.fingerprint == request.fingerprint else Refusal(DUPLICATE)",
        "Repeat(seen)",
        f"{_TRANSACTIONS}test_the_same_identity_with_another_content_is_a_duplicate",
    ),
    PlantedBug(
        "identity of the sending, not of the transaction",
        "switch/authorizer/request.py",
        "identity_of(day, local_time, mti[1], terminal, stan)",
        "identity_of(day, local_time, mti[1], terminal, key_serial[-3:].hex() or stan)",
        f"{_TRANSACTIONS}test_a_repeated_advice_counts_once",
    ),
    PlantedBug(
        "a decline isn't stored",
        _PIPELINE,
        "            if isinstance(outcome, Entry):\n                self._apply(state, outcome)\n",
        '            if isinstance(outcome, Entry) and outcome.response_code != "00":\n'
        "                return Refusal(outcome.response_code)\n"
        "            if isinstance(outcome, Entry):\n                self._apply(state, outcome)\n",
        f"{_TRANSACTIONS}test_a_decline_is_remembered_too",
    ),
    PlantedBug(
        "the same identity twice in one batch",
        _STATE,
        "        self._entries.add(entry.identity, entry)\n",
        "",
        f"{_STATES}test_an_applied_entry_is_seen_by_the_next_request",
    ),
    PlantedBug(
        "what is older than the horizon is decided again",
        "switch/authorizer/identity.py",
        "    return business_date - timedelta(days=horizon_days) <= day <= ",
        "    return day <= ",
        "tests/authorizer/test_identity.py::test_the_horizon_ends_on_both_sides",
    ),
    PlantedBug(
        "what was sent before New Year's midnight is of the new year",
        "switch/authorizer/identity.py",
        "    for year in (business_date.year - 1, business_date.year, business_date.year + 1):\n",
        "    for year in (business_date.year,):\n",
        "tests/authorizer/test_identity.py::test_every_date_near_the_business_date_gets_its_own_year",
    ),
    PlantedBug(
        "a retry goes to another bucket",
        _DECIDE,
        "bucket_without_member if member is None else member >> 40\n",
        "bucket_without_member if member is None else member >> 40 ^ int(request.mti[3])\n",
        f"{_TRANSACTIONS}test_a_repeat_may_arrive_first",
    ),
    PlantedBug(
        "a key serial's mark isn't stored with its entry",
        _ROWS,
        "                marks[initial_key] = counter\n",
        "                pass\n",
        f"{_SERIALS}test_marks_survive_a_restart",
    ),
    PlantedBug(
        "a key serial's mark isn't stored with an answer that has no entry",
        _PIPELINE,
        "        return (changes if changes.entries or marks else None), answers\n",
        "        return (changes if changes.entries else None), answers\n",
        f"{_SERIALS}test_what_was_answered_without_an_entry_is_not_new_after_a_restart",
    ),
    PlantedBug(
        "a key serial counts twice",
        "switch/server/sending.py",
        "        return _AT_OR_BELOW\n",
        "        return _FRESH\n",
        f"{_SERIALS}test_an_old_serial_is_refused_with_an_alarm",
    ),
    PlantedBug(
        "a wrong PIN isn't counted",
        "switch/authorizer/proof.py",
        "    return Proof(WRONG_PIN, (PinTried(member, credential.pin_wrong + 1),))\n",
        "    return Proof(WRONG_PIN)\n",
        f"{_PROOFS}test_three_wrong_pins_lock_until_a_reset",
    ),
    PlantedBug(
        "a one-time code is good twice",
        "switch/authorizer/proof.py",
        '        return Proof("", (CodeSpent(member), *_card_again(member, credential)))\n',
        '        return Proof("", _card_again(member, credential))\n',
        f"{_PROOFS}test_a_code_is_good_once",
    ),
    PlantedBug(
        "what the HSM couldn't check counts as proved",
        _PIPELINE,
        "        except HsmError as error:\n            item.refused = self._hsm_failed(\n",
        "        except HsmError as error:\n            item.found[need] = True\n"
        "            self._hsm_failed(\n",
        f"{_PROOFS}test_a_pin_that_cannot_be_checked_is_refused_for_the_moment",
    ),
    PlantedBug(
        "a MAC that the HSM couldn't check is good",
        _PIPELINE,
        "            return SECURITY_ERROR\n        return self._hsm_failed(error)\n",
        '            return SECURITY_ERROR\n        return ""\n',
        f"{_SERIALS}test_a_mac_that_cannot_be_checked_declines_nothing",
    ),
    PlantedBug(
        "a correction is booked twice",
        "switch/authorizer/corrections.py",
        "    if state.entry(correction.identity) is not None:\n        return None\n",
        "    state.entry(correction.identity)\n",
        "tests/authorizer/test_corrections.py::test_a_correction_is_booked_once_and_another_like_it_too",
    ),
    PlantedBug(
        "a request that the process stopped on twice is decided again",
        "switch/server/quarantine.py",
        "        return suspect.stops >= STOPS\n",
        "        return suspect.stops > STOPS\n",
        "tests/server/test_quarantine.py::test_a_first_stop_makes_a_suspect_and_a_second_holds_it",
    ),
)

_TAKEN_BACK: Final = (
    PlantedBug(
        "a late original counts after its reversal",
        _DECIDE,
        "        if state.is_reversed(request.identity):\n"
        "            return refused(DUPLICATE)  # its reversal came first\n",
        "",
        f"{_TRANSACTIONS}test_a_reversal_before_its_original",
    ),
    PlantedBug(
        "a reversal before its original is forgotten",
        _DECIDE,
        "            return Outcome(APPROVED, self._known_balances(member), sides=(reversed_mark,))\n",
        "            return Outcome(APPROVED, self._known_balances(member))\n",
        f"{_TRANSACTIONS}test_an_activation_reversed_before_it_arrives_stays_undone",
    ),
    PlantedBug(
        "a reversal is remembered by the memory only (SQLite)",
        _SQLITE,
        "            if type(side) is OriginalReversed:\n",
        "            if type(side) is OriginalReversed and not entry.id:\n",
        f"{_ENGINE}test_what_was_committed_comes_back_from_every_look_up[sqlite-True]",
    ),
    PlantedBug(
        "a reversal is remembered by the memory only (PostgreSQL)",
        _POSTGRES,
        '        "reversals": sorted(reversals),\n',
        '        "reversals": [],\n',
        f"{_ENGINE}test_what_was_committed_comes_back_from_every_look_up[postgres-True]",
    ),
    PlantedBug(
        "another card's reversal takes something back",
        _DECIDE,
        "    if original.member not in (0, 0 if member is None else member.id):\n        return False\n",
        "",
        f"{_TRANSACTIONS}test_a_reversal_that_names_another_card_changes_nothing",
    ),
    PlantedBug(
        "a reversal brings points back to another lot",
        _MOVEMENTS,
        "    taken = tuple(LotPart(move.lot, move.amount) for move in back if move not in waiting)\n",
        "    taken = tuple(LotPart(back[-1].lot, move.amount) for move in back if move not in waiting)\n",
        f"{_FOLLOW}test_points_move_to_another_card_with_their_lots_and_back_again",
    ),
    PlantedBug(
        "a refund goes to the lots that were taken first",
        _LOTS,
        "    given = _first(tuple(reversed(taken)), amount)\n",
        "    given = _first(tuple(taken), amount)\n",
        f"{_FOLLOW}test_a_refund_goes_back_to_the_lots_it_came_from_last_taken_first",
    ),
    PlantedBug(
        "refunds sum to more than was spent",
        _FOLLOWING,
        "    if amount > entry.amount:\n        return refused(INVALID_AMOUNT, REASON_MORE_THAN_LEFT)\n"
        "    # Points rounded",
        "    if request.amount > entry.amount:\n"
        "        return refused(INVALID_AMOUNT, REASON_MORE_THAN_LEFT)\n    # Points rounded",
        f"{_FOLLOW}test_a_refund_goes_back_to_the_lots_it_came_from_last_taken_first",
    ),
    PlantedBug(
        "a partial return takes the award of its own rial",
        _FOLLOWING,
        "        units = max(_award_taken(terms, earned, entry.amount, amount), original.units)\n",
        "        units = original.units + terms.program.version(earned.rules).award(request.amount)\n",
        f"{_FOLLOW}test_partial_returns_sum_to_exactly_the_award",
    ),
    PlantedBug(
        "a return is judged by the rules of today",
        _FOLLOWING,
        "max(_award_taken(terms, earned, entry.amount, amount), original.units)",
        "units_followed(entry, entry)"
        " - terms.program.on(_day(request.business_date)).award(entry.amount - amount)",
        f"{_FOLLOW}test_a_return_is_judged_by_the_rules_that_made_the_award",
    ),
    PlantedBug(
        "a return in the middle is reversed as if it were the last",
        _DECIDE,
        "            if (now.amount, now.units, now.ended) != (side.amount, side.units, side.ended):\n",
        "            if not now:\n",
        f"{_FOLLOW}test_refunds_give_what_their_answers_told_whatever_was_reversed",
    ),
    PlantedBug(
        "a hold is released twice",
        _FOLLOWING,
        "        if transfer.kind is TransferKind.HOLD:\n",
        "        if transfer.kind is TransferKind.HOLD and any(one.id == entry.id for one in after.holds):\n",
        f"{_FOLLOW}test_a_hold_that_has_run_out_is_released_and_a_captured_one_is_not",
    ),
    PlantedBug(
        "a hold that has run out stays open",
        _DECIDE,
        "        over = [hold for hold in member.holds if hold.expires_ms <= now_ms]",
        "        over = [hold for hold in member.holds if hold.expires_ms < 0]",
        "tests/server/test_due.py::test_holds_run_out_by_themselves",
    ),
    PlantedBug(
        "a capture keeps what it didn't take",
        _FOLLOWING,
        "    if rest is not None:\n",
        "    if rest is not None and not points:\n",
        f"{_FOLLOW}test_a_hold_keeps_points_until_a_capture_takes_some_and_lets_the_rest_go",
    ),
    PlantedBug(
        "what was voided is voided again",
        _FOLLOWING,
        "    if done.ended or state.is_reversed(original.identity, original.bucket):\n",
        "    if state.is_reversed(original.identity, original.bucket):\n",
        f"{_FOLLOW}test_a_void_takes_all_back_once_and_only_in_the_open_batch",
    ),
)

_LOTS_AND_SUMS: Final = (
    PlantedBug(
        "balance changed, posting missing",
        _ROWS,
        "_pack((entry.transfers, ",
        "_pack(((), ",
        f"{_ENGINE}test_what_was_committed_comes_back_from_every_look_up[sqlite-True]",
    ),
    PlantedBug(
        "funds looked at too late",
        _DECIDE,
        "        if points > wallet.balance:\n"
        "            return Outcome(NOT_ENOUGH_POINTS, balances(wallet), sides=proof.sides)\n"
        "        spent = ",
        "        spent = ",
        f"{_TRANSACTIONS}test_more_points_than_there_are",
    ),
    PlantedBug(
        "a lot that isn't the next one is spent",
        _LOTS,
        "for part in _first(wallet.lots, amount))",
        "for part in _first(wallet.lots[::-1], amount))",
        f"{_LOT}test_spending_takes_from_the_first_lots_to_the_point",
    ),
    PlantedBug(
        "points of another kind are spent first",
        _LOTS,
        "    return lot.priority, last_day(lot, active_day), lot.kind, ",
        "    return lot.priority, last_day(lot, active_day), -lot.kind, ",
        f"{_LOT}test_lots_are_used_in_this_order",
    ),
    PlantedBug(
        "points of another unit are spent",
        _BOOK,
        "        if before.unit is unit and before.program == program:\n",
        "        if before.program == program:\n",
        f"{_LOT}test_units_and_programs_have_wallets_of_their_own",
    ),
    PlantedBug(
        "claw-back takes other lots before the award's own",
        _LOTS,
        "        (MEMBER, [part for part in wallet.lots if part.lot.id in own]),\n"
        "        (MEMBER, [part for part in wallet.lots if part.lot.id not in own]),\n",
        "        (MEMBER, [part for part in wallet.lots if part.lot.id not in own]),\n"
        "        (MEMBER, [part for part in wallet.lots if part.lot.id in own]),\n",
        f"{_LOT}test_claw_back_takes_own_pending_own_active_others_and_leaves_the_rest_as_debt",
    ),
    PlantedBug(
        "an award doesn't pay the debt",
        _LOTS,
        "    paid = min(debt(wallet), amount) if account is MEMBER else 0\n",
        "    paid = 0\n",
        f"{_LOT}test_an_award_pays_debt_first",
    ),
    PlantedBug(
        "parts of a rial are lost with each use of a lot",
        _LOTS,
        "        return value(move.lot, left_of_one + move.amount) - value(move.lot, left_of_one)\n",
        "        return value(move.lot, move.amount)\n",
        f"{_LOT}test_the_fund_does_not_depend_on_the_way_a_lot_is_used_up",
    ),
    PlantedBug(
        "points end twice",
        _DECIDE,
        "            take(movements.expire(after, after.wallet(wallet.program, wallet.unit), today))\n",
        "            take(movements.expire(after, after.wallet(wallet.program, wallet.unit), today))\n"
        "            take(movements.expire(member, wallet, today))\n",
        f"{_FOLLOW}test_a_lot_can_be_used_on_its_last_day_and_not_on_the_next",
    ),
    PlantedBug(
        "waiting points begin twice",
        _DECIDE,
        "            take(movements.activate(after, after.wallet(wallet.program, wallet.unit), today))\n",
        "            take(movements.activate(after, after.wallet(wallet.program, wallet.unit), today))\n"
        "            take(movements.activate(member, wallet, today))\n",
        f"{_FOLLOW}test_an_award_that_waits_can_be_spent_from_its_day_on",
    ),
    PlantedBug(
        "what was due stays due",
        _BOOK,
        "        wallets, holds = _moved(wallets, holds, entry.id, transfer, active_day)\n        due = 0\n",
        "        wallets, holds = _moved(wallets, holds, entry.id, transfer, active_day)\n",
        f"{_ENGINE}test_a_member_whose_due_is_done_is_not_found_again[sqlite]",
    ),
    PlantedBug(
        "points end on their last day, not after it",
        _LOTS,
        "for part in wallet.lots if last_day(part.lot, active_day) < today)",
        "for part in wallet.lots if last_day(part.lot, active_day) <= today)",
        f"{_LOT}test_a_lot_expires_the_day_after_its_last",
    ),
    PlantedBug(
        "points end by the wall clock, not on the business date",
        _DECIDE,
        "        today = day_number(business_date)\n        over = ",
        "        today = now_ms // 86_400_000 + 719_163\n        over = ",
        "tests/server/test_business_day.py::test_points_end_on_the_business_date_whatever_the_clock_says",
    ),
    PlantedBug(
        "a clock that leaps is believed",
        "switch/server/business_day.py",
        "        if today > self._seen + elapsed + timedelta(days=LEAP_DAYS):",
        "        if today > self._seen + elapsed + timedelta(days=1_000):",
        "tests/server/test_business_day.py::test_while_the_clock_is_not_believed_nothing_is_booked",
    ),
    PlantedBug(
        "the business date goes back",
        _DECIDE,
        "        if request.business_date < state.business_date:",
        "        if request.business_date < '':",
        "tests/authorizer/test_midnight.py::"
        "test_what_was_read_before_midnight_is_booked_on_the_day_it_is_decided",
    ),
    PlantedBug(
        "a clock that was set back makes today's requests too new",
        _PIPELINE,
        "return now if now.date() >= self._newest_day else",
        "return now if now else",
        "tests/server/test_business_day.py::"
        "test_a_clock_that_is_set_back_books_and_takes_back_on_the_ledgers_day",
    ),
    PlantedBug(
        "the day changes at midnight of another place",
        "switch/server/clock.py",
        "datetime.fromtimestamp(second, BUSINESS_ZONE)",
        'datetime.fromtimestamp(second, ZoneInfo("UTC"))',
        "tests/server/test_clock.py::test_a_day_begins_at_midnight_in_tehran",
    ),
    PlantedBug(
        "a batch's sums are counted twice (SQLite)",
        _SQLITE,
        " entries = entries + excluded.entries, ",
        " entries = entries + 2 * excluded.entries, ",
        f"{_ENGINE}test_counters_add_up_over_batches[sqlite]",
    ),
    PlantedBug(
        "a batch's sums are counted twice (PostgreSQL)",
        _POSTGRES_STATEMENTS,
        " entries = counter.entries + excluded.entries,",
        " entries = counter.entries + 2 * excluded.entries,",
        f"{_ENGINE}test_counters_add_up_over_batches[postgres]",
    ),
    PlantedBug(
        "what a limit counted is counted again when its batch is stored",
        _STATE,
        "                    self._counters.put(counter, stored + added)\n",
        "                    self._counters.put(counter, stored + added + added)\n",
        f"{_STATES}test_a_counter_is_the_same_when_its_batch_is_committed",
    ),
    PlantedBug(
        "a transfer is taken in twice",
        "switch/authorizer/transfers.py",
        "    if state.entry(_identity_of_second(sent, to)) is not None:\n        return None\n",
        "",
        "tests/server/test_transfers.py::test_points_arrive_once_and_come_back_once",
    ),
    PlantedBug(
        "a transfer never arrives",
        _PIPELINE,
        "                if outcome.sides:  # else",
        "                if outcome.sides and not outcome.transfers:  # else",
        "tests/server/test_transfers.py::test_points_arrive_once_and_come_back_once",
    ),
    PlantedBug(
        "a closed batch takes more",
        "switch/authorizer/batches.py",
        "    if request.batch > last:\n        return None\n",
        "    if request.batch:\n        return None\n",
        "tests/authorizer/test_batches.py::test_a_closed_batch_takes_no_more",
    ),
    PlantedBug(
        "a reversal after the close counts in the closed batch",
        "switch/authorizer/batches.py",
        "    return AFTER_CLOSE if batch and batch <= state.last_batch(terminal).number else batch\n",
        "    state.last_batch(terminal)\n    return batch\n",
        "tests/authorizer/test_batches.py::test_a_reversal_after_the_close_is_an_item_of_the_day_it_comes_on",
    ),
    PlantedBug(
        "half a frame is taken when the line ends",
        "switch/link/framing.py",
        "            stop = start + size\n",
        "            stop = start + size if end - start < minimum else min(start + size, end)\n",
        "tests/link/test_framing.py::test_frames_come_out_as_they_went_in",
    ),
)

_SEALED: Final = (
    PlantedBug(
        "the seal skips a column",
        _ROWS,
        "        seal = seal_entry(previous, pack(row))\n",
        "        seal = seal_entry(previous, pack(row[:13] + row[14:]))\n",
        f"{_VERIFYING}test_an_honest_ledger_has_no_problem",
    ),
    PlantedBug(
        "the seal of a row skips its last column, and so does verification",
        _SEAL,
        "        for value in (table, *values):\n",
        "        for value in (table, *values[:-1]):\n",
        "tests/ledger/test_seal.py::test_row_seals_tell_table_type_and_column_apart",
    ),
    PlantedBug(
        "entries are sealed without the one before, and verified so",
        _SEAL,
        "        inner.update(previous)\n",
        "",
        "tests/ledger/test_seal.py::test_an_entrys_seal_is_over_the_one_before_and_its_row",
    ),
    PlantedBug(
        "verification doesn't compare checkpoints",
        _VERIFY,
        "        self._compare_checkpoint(heads)\n",
        "",
        f"{_VERIFYING}test_a_whole_older_copy_is_found",
    ),
    PlantedBug(
        "a ledger that went back gets a new checkpoint",
        _CHECKPOINT,
        "                if now < before:\n",
        "                if now < 0:\n",
        "tests/ledger/test_checkpoint.py::test_a_ledger_that_went_back_is_refused",
    ),
    PlantedBug(
        "the MAC of a checkpoint isn't compared",
        _CHECKPOINT,
        " or mac(body).hex() != checkpoint.mac:\n",
        ":\n",
        "tests/ledger/test_checkpoint.py::test_a_changed_last_line_is_not_built_upon",
    ),
    PlantedBug(
        "verification believes the sums that are stored",
        _VERIFY,
        "        for key, should, there in _differences(expected, stored):\n",
        "        for key, should, there in ():\n",
        f"{_VERIFYING}test_every_changed_value_is_found[account]",
    ),
    PlantedBug(
        "the directory leads where somebody wrote (SQLite)",
        _SQLITE,
        '        if self._sealer.row("directory", (identifier, *named)) != seal:\n',
        "        if not seal:\n",
        "tests/ledger/test_sqlite_failures.py::test_a_row_that_was_tampered_with_is_not_acted_on",
    ),
    PlantedBug(
        "the directory leads where somebody wrote (PostgreSQL)",
        _POSTGRES,
        '        if self._sealer.row("directory", named) != seal:\n',
        "        if not seal:\n",
        "tests/ledger/test_postgres_faults.py::test_a_directory_row_that_was_changed_is_not_followed",
    ),
    PlantedBug(
        "an edited entry moves to PostgreSQL",
        "switch/ledger/migrate.py",
        " or self._sealer.entry(previous, packed) != seal:\n",
        ":\n",
        "tests/ledger/test_postgres_migrate.py::test_an_edited_entry_is_not_moved",
    ),
    PlantedBug(
        "an edited archive is restored",
        "switch/ledger/backup.py",
        "            if head != wanted:\n",
        "            if head.sequence != wanted.sequence:\n",
        "tests/ledger/test_archive.py::test_an_archive_with_other_entries_is_refused",
    ),
)

_AT_THE_TERMINAL: Final = (
    PlantedBug(
        "an approval is shown before the terminal's storage has it",
        "terminal/flows/trade.py",
        "        await until_kept(app, app.journal.approve, pending.stan, message)"
        "  # nothing is shown of it before\n        outcome = await present(app, pending)\n",
        "        outcome = await present(app, pending)\n"
        "        await until_kept(app, app.journal.approve, pending.stan, message)\n",
        "tests/terminal/test_flows_restart.py::test_a_power_cut_at_every_write_of_a_transaction",
    ),
    PlantedBug(
        "a terminal doesn't take back what wasn't answered",
        "terminal/flows/trade.py",
        "        return None, await reverse(app, pending)\n",
        "        app.journal.close(pending.stan, NOT_SENT)\n"
        '        return None, await tell(app, "no_line")\n',
        "tests/terminal/test_flows_reversal.py::"
        "test_no_answer_leads_to_a_reversal_at_once_repeated_until_answered",
    ),
    PlantedBug(
        "a terminal believes any answer, a late one too",
        "terminal/line.py",
        "            if not self._transmission.verify(body, mac):\n",
        "            if mac is None:\n",
        "tests/terminal/test_flows_reversal.py::test_unverified_and_foreign_answers_are_ignored",
    ),
)

PLANTED_BUGS: Final = (
    *_DURABLE,
    *_POSTGRESQL,
    *_ONCE,
    *_TAKEN_BACK,
    *_LOTS_AND_SUMS,
    *_SEALED,
    *_AT_THE_TERMINAL,
)

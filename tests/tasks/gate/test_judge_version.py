"""Judge a version by name: not judged yet, judged by other rules, champion, rejected, rolled back."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from mlflow import MlflowClient

from config.load import rules_hash
from config.settings import Settings
from core.errors import BundleError, ConfigError, ModelNotFoundError, PromotionError
from store.champions import champion_history, find_verdict, verdicts_against
from store.database import open_database
from tasks.champions.approvals import approve, reject, rollback
from tasks.gate.judge_version import judge_version
from tasks.train.bench import close_bench
from tests.factories import add_credit_model
from tests.tasks.judging import LINEAR, add_data, config_of, register_version, settle, train
from tests.tasks.registry.test_fetch import stored

pytestmark = [
    # skl2onnx 1.20 and MLflow 3.17 use names that NumPy 2 and pandas 3 deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]

STRICT: dict[str, Any] = {"min_gain": 0.9}


@pytest.fixture
def weak_champion(registry: Settings) -> Settings:
    """Version 1, of the age alone, is champion; version 2, of everything, is registered and was not judged."""
    write_model(registry)
    data = add_data(registry, config_of())
    train(registry, config_of("age", gate={"floor": 0.4}), data)
    register_version(registry, config_of(), data)
    close_bench()
    return registry


def write_model(settings: Settings, **gate: Any) -> None:
    """Write the model file with rules of the gate."""
    add_credit_model(settings, training=LINEAR, features={"numeric": ["income", "age"]}, gate=gate)


def versions(settings: Settings) -> list[int]:
    """Every version that ever was champion, in order."""
    return [entry.version for entry in champion_history(open_database(settings.database_url), "credit")]


def test_a_version_that_was_not_judged_is_judged_and_promoted(weak_champion: Settings, client: MlflowClient) -> None:
    """The history, the aliases and the tags say what a training would have said; a repeat moves nothing."""
    outcome = judge_version("credit@2", weak_champion)
    assert (outcome.status, outcome.decision, outcome.champion) == ("promoted", "promote", 2)
    entry = champion_history(open_database(weak_champion.database_url), "credit")[-1]
    assert (entry.version, entry.kind) == (2, "gate")
    assert "(judge, manual)" in entry.actor
    assert client.get_registered_model("credit").aliases == {"champion": 2, "previous": 1}
    assert client.get_model_version("credit", "2").tags["perennial.gate"] == "passed"
    repeat = judge_version("credit@champion", weak_champion)
    assert (repeat.status, repeat.reasons, repeat.alias) == ("unchanged", outcome.reasons, "champion")
    assert versions(weak_champion) == [1, 2]


def test_other_rules_judge_again_and_the_last_verdict_stands(weak_champion: Settings, client: MlflowClient) -> None:
    """A refused version is promoted by relaxed rules, on the same rows, without a second look."""
    write_model(weak_champion, **STRICT)
    first = judge_version("credit@2", weak_champion)
    assert (first.status, first.refused) == ("refused", True)
    assert judge_version("credit@2", weak_champion).reasons == first.reasons
    engine = open_database(weak_champion.database_url)
    assert len(verdicts_against(engine, "credit", 1)) == 1
    write_model(weak_champion)
    second = judge_version("credit@2", weak_champion)
    assert second.status == "promoted"
    kept = verdicts_against(engine, "credit", 1)
    assert [(one.number, one.decision) for one in kept] == [(1, "keep"), (2, "promote")]
    documents = [json.loads(one.document) for one in kept]
    assert [one["rules"]["min_gain"] for one in documents] == [0.9, 0.0]
    assert [one["comparison"]["looks"] for one in documents] == [1.0, 1.0]
    tags = client.get_model_version("credit", "2").tags
    assert (tags["perennial.gate"], tags["perennial.gate.rules"]) == ("passed", kept[-1].rules)


def test_rules_that_return_judge_again(weak_champion: Settings, client: MlflowClient) -> None:
    """Strict, manual, strict: the rules in force decide, and the alias of the version that waits follows them."""
    for gate, status in ((STRICT, "refused"), ({"mode": "manual"}, "waiting"), (STRICT, "refused")):
        write_model(weak_champion, **gate)
        assert judge_version("credit@2", weak_champion).status == status
        waiting = {"challenger": 2} if status == "waiting" else {}
        assert client.get_registered_model("credit").aliases == {"champion": 1, **waiting}
    stands = find_verdict(open_database(weak_champion.database_url), "credit", 2)
    assert stands is not None
    assert (stands.number, stands.decision) == (3, "keep")
    assert versions(weak_champion) == [1]


def test_a_training_with_other_rules_judges_the_same_version(registry: Settings) -> None:
    """After a change of the gate alone nothing is registered, and the version gets a verdict by the new rules."""
    data = add_data(registry, config_of())
    train(registry, config_of("age", gate={"floor": 0.4}), data)
    strict, relaxed = config_of(gate=STRICT), config_of()
    refused = train(registry, strict, data)
    assert refused is not None
    assert (refused.version, refused.decision) == (2, "keep")
    assert train(registry, strict, data) is None
    again = train(registry, relaxed, data)
    assert again is not None
    assert (again.version, again.decision) == (2, "promote")
    assert versions(registry) == [1, 2]
    assert train(registry, strict, data) is None, "a champion is not judged by the rules that came after it"


def test_a_verdict_of_unknown_rules_is_made_again(weak_champion: Settings) -> None:
    """Verdicts from before the rules were kept are valid as history, and by name the version is judged again."""
    judge_version("credit@2", weak_champion, {"gate.mode": "dry_run"})
    engine = open_database(weak_champion.database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER verdicts_refuse_update")
        connection.exec_driver_sql("UPDATE verdicts SET rules = '' WHERE version = 2")
    assert judge_version("credit@2", weak_champion, {"gate.mode": "dry_run"}).status == "recorded"
    stands = find_verdict(engine, "credit", 2)
    assert stands is not None
    assert (stands.number, stands.rules) == (2, rules_hash(config_of(gate={"mode": "dry_run"})))


def test_the_gate_does_not_overrule_a_person(weak_champion: Settings) -> None:
    """A version that was rejected, or rolled back, is not judged; the error names who and why."""
    reject("credit", "2", "worse for the smallest region", weak_champion)
    with pytest.raises(PromotionError, match=r"was rejected by .* \(worse for the smallest region\)"):
        judge_version("credit@2", weak_champion)
    approve("credit", "2", "agreed after all", weak_champion, override=True)
    rollback("credit", "angry customers", weak_champion)
    with pytest.raises(PromotionError, match=r"was rolled back by .* \(angry customers\)"):
        judge_version("credit@2", weak_champion)
    assert versions(weak_champion) == [1, 2, 1]


def test_a_training_does_not_overrule_a_person_either(registry: Settings) -> None:
    """A version that was rejected is not judged again when the rules change."""
    data = add_data(registry, config_of())
    train(registry, config_of("age", gate={"floor": 0.4}), data)
    run = register_version(registry, config_of(gate={"mode": "manual"}), data)
    settle(registry, run)
    reject("credit", "2", "not now", registry)
    assert train(registry, config_of(), data) is None
    assert versions(registry) == [1]


def test_another_bundle_under_the_same_number_is_an_error(weak_champion: Settings, client: MlflowClient) -> None:
    """What is judged is named by its hash in the database: MLflow's tag does not count, and other files are refused."""
    client.set_model_version_tag("credit", "2", "perennial.manifest", "0" * 64)
    client.set_model_version_tag("credit", "2", "perennial.data_version", "0" * 32 + ".dir")
    assert judge_version("credit@2", weak_champion, {"gate.mode": "dry_run"}).status == "recorded"
    shutil.copytree(stored(client, 1), stored(client, 2), dirs_exist_ok=True)
    with pytest.raises(BundleError, match="is not the one that was registered"):
        judge_version("credit@2", weak_champion)


def test_what_cannot_be_judged(registry: Settings) -> None:
    """A name without a version, a version or model that does not exist, a champion that was never judged."""
    write_model(registry)
    register_version(registry, config_of(), add_data(registry, config_of()))
    with pytest.raises(ConfigError, match="name the version to judge"):
        judge_version("credit", registry)
    with pytest.raises(ModelNotFoundError, match="no version or alias '9'"):
        judge_version("credit@9", registry)
    with pytest.raises(ConfigError, match="no model file"):
        judge_version("other@1", registry)
    approve("credit", "1", "the first", registry, override=True)
    with pytest.raises(PromotionError, match="was never judged"):
        judge_version("credit@1", registry)

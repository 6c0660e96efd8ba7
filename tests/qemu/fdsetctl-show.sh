#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# fdsetctl, against a helper: what show, stats, info and list tell of it.
# shellcheck disable=SC2317,SC2119,SC2094,SC2016,SC2034
# shellcheck source-path=SCRIPTDIR source=fdsetctl-scene.sh
. "$(dirname "$0")/fdsetctl-scene.sh"

test_holds_and_waiting_opens() {
    helper_start
    images_make
    fdsetctl add --set 1 a.img >output
    equal '' "$(fdsetctl list --waiting)" "none"
    vmm_start
    vmm_does hold /dev/fdset/1
    fdsetctl remove 1 >output
    equal 'SET MEMBER MODE FLAGS STATE LEASES AGE LIFETIME HOLDS OPAQUE 1 - - - - 0 - keep 1 -' \
        "$(fdsetctl list | xargs)" "a set without a member"
    fdsetctl list --json >listed
    json listed 'j["sets"][0]["holds"] == 1 and j["waiting"] == []'

    vmm_ask open /dev/fdset/later rw 600000
    total_becomes waiting 1
    equal 'WAITING PATH MODE FLAGS AGE EXPIRES PID NAME' \
        "$(fdsetctl list --waiting | head -n 1 | xargs)" "columns"
    equal "1 /dev/fdset/later read-write $vmm vmm" \
        "$(fdsetctl list -nw --output waiting,path,mode,pid,name | xargs)" "what waits"
    fdsetctl list --json >listed
    json listed 'j["waiting"][0]["path"] == "/dev/fdset/later" and j["waiting"][0]["name"] == "vmm"'
    json listed 'j["waiting"][0]["mode"] == "read-write" and j["waiting"][0]["flags"] == []'
    json listed '0 < j["waiting"][0]["expires_ms"] <= 600000'
    succeeds fdsetctl add --name later --read-write b.img >output
    vmm_says 'done'
    fdsetctl list --leases >output
    equal 'LEASE SET MEMBER MODE FLAGS AGE PID NAME' "$(head -n 1 output | xargs)" "columns"
    equal "2 $vmm later" \
        "$(fdsetctl list -nl -o member,pid,opaque --name later | sed 's/-$/later/' | xargs)" "lease"
}

test_show() {
    local a_file
    helper_start
    images_make
    fdsetctl add --name base --set 3 --owner me --lifetime idle --idle 600s --opaque 'a label' \
        --sharing shared a.img >output
    fdsetctl add --set 4 --lifetime connection --grace 600s b.img >output
    equal 'Set: 3 Path: /dev/fdset/3 Name: base Path by name: /dev/fdset/base' \
        "$(fdsetctl show base | head -n 4 | xargs)" "the head"
    [[ $(fdsetctl show base) == *'me (uid '[0-9]*')'* ]] || fail "no owner"
    [[ $(fdsetctl show base) == *'idle, 9m'*' left'* ]] || fail "no time that is left"
    [[ $(fdsetctl show 4) == *'connection, 9m'*' left'* ]] || fail "no grace that is left"
    equal 'MEMBER MODE FLAGS STATE AGE TYPE DEVICE-NUMBER DEVICE INODE OPAQUE' \
        "$(fdsetctl show 3 | sed -n '/^MEMBER/p' | xargs)" "the columns"
    a_file="$(stat -c %Hd:%Ld a.img) $(stat -c %i a.img)"
    equal "1 read-only shared listed regular - $a_file a label" \
        "$(fdsetctl show 3 | sed '1,/^MEMBER/d' | awk '{ $5 = ""; print }' | xargs)" "the member"

    vmm_start
    vmm_does hold /dev/fdset/base
    [[ $(fdsetctl show base) == *'idle, 10m00s after its last use'* ]] || fail "no idle time"
    vmm_does open /dev/fdset/3 r 0
    equal "LEASE MEMBER MODE FLAGS AGE PID NAME 1 1 read-only - $vmm vmm" \
        "$(fdsetctl show base | sed -n '/^LEASE/,$p' | sed '2s/[0-9]*s//' | xargs)" "the lease"
    vmm_ask open /dev/fdset/base rw 600000
    total_becomes waiting 1
    fdsetctl show /dev/fdset/base >output
    equal "1 /dev/fdset/base read-write $vmm vmm" \
        "$(sed '1,/^WAITING/d' output | awk '{ print $1, $2, $3, $(NF-1), $NF }')" "what waits"
    [[ $(xargs <output) == *'Holds: 1'* ]] || fail "no hold: $(cat output)"

    fdsetctl show --json base >shown
    json shown 'j["set"] == 3 and j["name"] == "base" and j["holds"] == 1'
    json shown 'j["members"][0]["leases"][0]["name"] == "vmm"'
    json shown '[w["path"] for w in j["waiting"]] == ["/dev/fdset/base"]'
    fdsetctl show --json 4 >shown
    json shown 'j["set"] == 4 and j["waiting"] == [] and j["name"] is None'
}

test_show_the_sandbox() {
    helper_start
    equal 'STAGE WHOLE DETAIL' "$(fdsetctl show --sandbox | head -n 1 | xargs)" "columns"
    [[ $(fdsetctl show --sandbox | tail -n 1) =~ ^seccomp\ +yes ]] || fail "$(fdsetctl show --sandbox)"
    fdsetctl show --sandbox --json >shown
    json shown '[type(s["whole"]) for s in j["sandbox"]] == [bool] * len(j["sandbox"])'
    json shown 'j["sandbox"][-1]["name"] == "seccomp" and j["sandbox"][-1]["whole"] is True'
    json shown 'all(s["detail"] is None or s["detail"] for s in j["sandbox"])'
}

# What the OpenMetrics specification asks of a text of gauges and counters.
openmetrics_check() {
    python3 -c 'import re, sys
lines = sys.stdin.read().split("\n")
assert lines[-2:] == ["# EOF", ""], "the end"
families, samples, labels = {}, {}, {}
text_of = dict(gauge="", counter="_total", info="_info")
for line in lines[:-2]:
    described = re.fullmatch(r"# (HELP|TYPE|UNIT) (fdset_helper_[a-z_]+) (.+)", line)
    if described:
        what, family, text = described.groups()
        assert not family.endswith("_total"), line
        assert family not in samples, "described after its sample: " + line
        assert what not in families.setdefault(family, {}), "twice: " + line
        assert what != "TYPE" or text in text_of, line
        assert what != "UNIT" or family.endswith("_" + text), line
        families[family][what] = text
        last = family
        continue
    name, label, value = re.fullmatch(
        r"([a-z_]+)\{vm=\"((?:[^\"\\\n]|\\[\"\\n])*)\"(?:,version=\"[^\"]+\"|,endpoint=\"vmm\")?\} ([0-9]+(?:\.[0-9]+)?)",
        line).groups()
    assert name == last + text_of[families[last]["TYPE"]], line
    assert label == labels.setdefault("vm", label), line
    samples[last] = value
assert len(families) == 40 and all("HELP" in f and "TYPE" in f for f in families.values())
for wanted in sys.argv[1:]:
    family, value = wanted.split("=", 1)
    if family == "vm":
        samples["vm"] = labels["vm"]
    assert samples[family] == value, wanted + ": " + samples[family]' "$@" || fail "no OpenMetrics"
}

test_stats() {
    helper_start
    images_make
    fdsetctl add --set 1 -rw a.img >output
    vmm_start
    vmm_does open /dev/fdset/1 r 0
    vmm_ask open /dev/fdset/1 w 0
    vmm_says 'write-only'
    vmm_ask open /dev/fdset/1 w 1
    vmm_says 'write-only'
    equal 'NAME VALUE MEANING' "$(fdsetctl stats | head -n 1 | xargs)" "columns"
    equal 'sets 1 members 2 leases 1' \
        "$(fdsetctl stats --no-headings | head -n 3 | awk '{ print $1, $2 }' | xargs)" "totals"
    fdsetctl stats --json >stats
    json stats '[j[n] for n in ("members", "opens", "denied", "added")] == [2, 1, 2, 2]'
    json stats '[j[n] for n in ("waited", "expired", "removed", "holds")] == [1, 1, 0, 0]'
    fdsetctl list --json >listed
    json listed 'set(j["totals"]) == set(__import__("json").load(open("stats"))) and len(j["totals"]) == 20'
    fdsetctl stats --openmetrics >metrics
    openmetrics_check fdset_helper_members=2 fdset_helper_opens=1 fdset_helper_denied=2 \
        fdset_helper_expired=1 fdset_helper_hangups=0 fdset_helper_members_limit=4096 \
        fdset_helper_endpoint_leases=1 fdset_helper_endpoint_waiting=0 \
        "vm=${PWD##*/}" <metrics
    fdsetctl stats --openmetrics --vm 'a "b" \c'$'\n' >metrics
    openmetrics_check 'vm=a \"b\" \\c\\x0a' <metrics
    status 2 fdsetctl stats --vm x
}

test_info() {
    helper_start --limit sets=7
    images_make
    fdsetctl add --set 1 -rw a.img >output
    fdsetctl info --json >info
    json info '(j["version"], j["protocol"], j["role"]) == ("'"$("$FDSET_HELPER" --version | awk '{ print $NF }')"'", 1, "manager")'
    json info "(j['pid'], j['vm']) == ($helper, '${PWD##*/}')"
    json info 'j["limits"]["sets"] == {"used": 1, "maximum": 7} and j["uptime_ms"] >= 0'
    json info 'j["limits"]["members"]["used"] == 2 and j["limits"]["packet_bytes"]["used"] is None'
    json info '[(e["name"], e["leases"]) for e in j["endpoints"]] == [("vmm", 0)]'
    fdsetctl -S observe info >output
    equal 'vmm 0/8192 0/128 0/512' "$(awk '$1 == "vmm" { print $1, $2, $3, $4 }' output)" "endpoint"
    equal 'This socket: observer' "$(grep '^This' output | xargs)" "role"
    equal 'LIMIT USED MAXIMUM USED% MEANING' "$(grep '^LIMIT' output | xargs)" "columns"
    equal 'sets 1 7 14' "$(awk '$1 == "sets" { print $1, $2, $3, $4 }' output)" "sets"
    status 2 fdsetctl info 1
}

run_tests

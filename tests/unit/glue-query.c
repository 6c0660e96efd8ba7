/* SPDX-License-Identifier: MIT */
/* libfdset's listings: how the pages of one become one, with all that the helper tells. */
#include "fake-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* One page of at most one set with at most one member. */
#define NO_SET (-1)
struct page {
    int set;
    uint32_t member;
    uint64_t leases[4]; /* ended by 0 */
    Fdset__V1__Cursor next;
    bool more;
};

#define CURSOR(set, member, lease, waiting) \
    { PROTOBUF_C_MESSAGE_INIT(&fdset__v1__cursor__descriptor), set, member, lease, waiting }

static void answer_page(uint32_t serial, struct page *page) {
    Fdset__V1__LeaseInfo leases[4], *lease_pointers[4];
    Fdset__V1__MemberInfo member = FDSET__V1__MEMBER_INFO__INIT, *member_pointer = &member;
    Fdset__V1__SetInfo set = FDSET__V1__SET_INFO__INIT, *set_pointer = &set;
    Fdset__V1__Totals totals = FDSET__V1__TOTALS__INIT;
    Fdset__V1__QueryReply query = FDSET__V1__QUERY_REPLY__INIT;
    Reply reply = FDSET__V1__REPLY__INIT;
    for (member.n_leases = 0; page->leases[member.n_leases]; member.n_leases++) {
        Fdset__V1__LeaseInfo *lease = &leases[member.n_leases];
        fdset__v1__lease_info__init(lease);
        lease->lease = page->leases[member.n_leases];
        lease->flags = O_RDWR | O_DIRECT;
        lease->age_ms = 12;
        lease->connection = 3;
        lease->pid = 4321;
        lease->name = (char *)"qemu";
        lease_pointers[member.n_leases] = lease;
    }
    member.leases = lease_pointers;
    member.member = page->member;
    member.state = FDSET__V1__MEMBER_STATE__MEMBER_LISTED;
    member.flags = O_RDWR;
    member.device = 0x1234567890;
    member.inode = 77;
    member.type = S_IFBLK;
    member.device_number = 0x9876543210;
    member.label_case = FDSET__V1__MEMBER_INFO__LABEL_OPAQUE;
    member.opaque = (char *)"label";
    set.set = page->set;
    set.lifetime = FDSET__V1__LIFETIME__LIFETIME_KEEP;
    set.n_members = page->member != 0;
    set.members = &member_pointer;
    query.n_sets = page->set != NO_SET;
    query.sets = &set_pointer;
    query.next = page->more ? &page->next : NULL;
    query.totals = &totals;
    totals.opens = 5;
    reply.serial = serial;
    reply.body_case = REPLY_IS(QUERY);
    reply.query = &query;
    fake_reply(&reply, NULL, 0);
}

static void test_query_joins_pages(void **state) {
    struct page pages[] = {
        {1, 10, {100, 101}, CURSOR(1, 10, 101, 0), true}, /* goes on in this member, */
        {1, 10, {102}, CURSOR(1, 10, 102, 0), true},      /* then in this set, */
        {1, 11, {103}, CURSOR(1, 11, 103, 0), true},      /* then in another, which has */
        {2, 0, {0}, CURSOR(2, 0, 0, 0), true},            /* its first member on the next */
        {2, 12, {0}, CURSOR(0, 0, 0, 5), true},           /* and last the opens that wait, */
        {NO_SET, 0, {0}, CURSOR(0, 0, 0, 9), true},
        {NO_SET, 0, {0}, CURSOR(0, 0, 0, 0), false},
    };
    /* A newer helper's cursor may have fields that we do not know. */
    ProtobufCMessageUnknownField unknown = {99, PROTOBUF_C_WIRE_TYPE_VARINT, 1, (uint8_t *)"\x01"};
    pages[0].next.base.n_unknown_fields = 1;
    pages[0].next.base.unknown_fields = &unknown;
    struct call call;
    fake_begin_manager();
    call_query(&call, FDSET_ALL_SETS);
    for (size_t i = 0; i < 7; i++) {
        Request *request = fake_receive(REQUEST_IS(QUERY));
        const Fdset__V1__Cursor *after = request->query->after;
        assert_int_equal(request->query->which_case, 0);
        assert_int_equal(after != NULL, i > 0);
        if (after) {
            assert_int_equal(after->base.n_unknown_fields, 0);
            assert_int_equal(after->set, pages[i - 1].next.set);
            assert_int_equal(after->member, pages[i - 1].next.member);
            assert_int_equal(after->lease, pages[i - 1].next.lease);
            assert_int_equal(after->waiting, pages[i - 1].next.waiting);
        }
        answer_page(request->serial, &pages[i]);
    }
    assert_int_equal(call_end(&call), 0);

    const struct fdset_info *sets = call.listing->sets;
    assert_int_equal(call.listing->count, 2);
    assert_int_equal(sets[0].set, 1);
    assert_int_equal(sets[0].lifetime, FDSET_KEEP);
    assert_int_equal(sets[0].member_count, 2);
    assert_int_equal(sets[0].members[0].member, 10);
    assert_int_equal(sets[0].members[0].lease_count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(sets[0].members[0].leases[i].lease, 100 + i);
    assert_int_equal(sets[0].members[1].lease_count, 1);
    assert_int_equal(sets[1].member_count, 1);
    assert_int_equal(sets[1].members[0].member, 12);
    assert_int_equal(sets[1].members[0].lease_count, 0);
    fdset_listing_free(call.listing);
    fake_end();
}

static void test_query_copies_everything(void **state) {
    struct page page = {6, 10, {100}};
    struct call call;
    fake_begin_manager();
    call_query(&call, 6);
    Request *request = fake_receive(REQUEST_IS(QUERY));
    assert_int_equal(request->query->which_case, FDSET__V1__QUERY__WHICH_SET);
    assert_int_equal(request->query->set, 6);
    answer_page(request->serial, &page);
    assert_int_equal(call_end(&call), 0);

    const struct fdset_member_info *member = &call.listing->sets[0].members[0];
    assert_int_equal(member->state, FDSET_MEMBER_LISTED);
    assert_int_equal(member->flags, O_RDWR);
    assert_int_equal(member->device, 0x1234567890);
    assert_int_equal(member->inode, 77);
    assert_int_equal(member->type, S_IFBLK);
    assert_int_equal(member->device_number, 0x9876543210);
    assert_string_equal(member->opaque, "label");
    assert_int_equal(member->leases[0].flags, O_RDWR | O_DIRECT);
    assert_int_equal(member->leases[0].age_ms, 12);
    assert_int_equal(member->leases[0].connection, 3);
    assert_int_equal(member->leases[0].pid, 4321);
    assert_string_equal(member->leases[0].name, "qemu");
    assert_int_equal(call.listing->totals.opens, 5);
    fdset_listing_free(call.listing);
    fake_end();
}

static void test_query_of_no_such_set(void **state) {
    struct call call;
    fake_begin_manager();
    call_query(&call, 6);
    fake_error(fake_receive(REQUEST_IS(QUERY))->serial, ENOENT, "no set 6");
    assert_int_equal(call_end(&call), -ENOENT);
    assert_null(call.listing);
    fake_end();
}

/* Removed between two pages: what was read before is the answer. */
static void test_query_of_a_set_that_goes_meanwhile(void **state) {
    struct page page = {6, 10, {100}, CURSOR(6, 10, 100, 0), true};
    struct call call;
    fake_begin_manager();
    call_query(&call, 6);
    answer_page(fake_receive(REQUEST_IS(QUERY))->serial, &page);
    fake_error(fake_receive(REQUEST_IS(QUERY))->serial, ENOENT, "no set 6");
    assert_int_equal(call_end(&call), 0);
    assert_int_equal(call.listing->count, 1);
    fdset_listing_free(call.listing);
    fake_end();
}

static void test_query_that_runs_in_a_circle(void **state) {
    struct page page = {6, 10, {100}, CURSOR(6, 10, 100, 0), true};
    struct call call;
    fake_begin_manager();
    call_query(&call, 6);
    answer_page(fake_receive(REQUEST_IS(QUERY))->serial, &page);
    answer_page(fake_receive(REQUEST_IS(QUERY))->serial, &page);
    assert_int_equal(call_end(&call), -EPROTO);
    assert_null(call.listing);
    fake_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_query_joins_pages),
        oracle_test(test_query_copies_everything),
        oracle_test(test_query_of_no_such_set),
        oracle_test(test_query_of_a_set_that_goes_meanwhile),
        oracle_test(test_query_that_runs_in_a_circle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* fdsetctl list: what there is and who uses it. */
#include <stdio.h>
#include <string.h>

#include "fdsetctl.h"
#include "json.h"
#include "table.h"
#include "words.h"

static const char help[] =
    "Usage: fdsetctl list [OPTION]... [SET]\n"
    "Show all sets with their members, or one. SET is a number or /dev/fdset/N.\n"
    "\n"
    "  -l, --leases         show who has a member open, one line a lease\n"
    "  -j, --json           JSON, with sets, members, leases and totals in one\n"
    "  -n, --no-headings    no line with the columns' names\n" COMMON_OPTIONS_TEXT;

/* Room for all words of flags and rules with commas between. */
struct words {
    char text[160];
};

static void words_append(struct words *words, const char *word) {
    size_t length = strlen(words->text);
    snprintf(words->text + length, sizeof words->text - length, "%s%s", length ? "," : "", word);
}

static void words_append_flags(struct words *words, int flags) {
    const char *word;
    bool is_set;

    for (size_t i = 0; (word = flag_word(i, flags, &is_set)); i++)
        if (is_set)
            words_append(words, word);
}

static const char *words_text(const struct words *words) {
    return words->text[0] ? words->text : "-";
}

/* The open file description's flags, then what the manager laid down. */
static struct words member_words(const struct fdset_member_info *member) {
    struct words words = {""};

    words_append_flags(&words, member->flags);
    if (member->sharing != FDSET_SHARING_DEFAULT)
        words_append(&words, sharing_word(member->sharing));
    if (member->serves_read_only)
        words_append(&words, "serves-read-only");
    if (member->keep_content)
        words_append(&words, "keep-content");
    if (member->keep_locks)
        words_append(&words, "keep-locks");
    return words;
}

static void member_line(struct libscols_table *table, const struct fdset_info *set,
                        const struct fdset_member_info *member) {
    struct libscols_line *line = table_line(table);
    struct words words = member_words(member);

    table_cell(line, 0, "%d", set->set);
    table_cell(line, 1, "%u", member->member);
    table_cell(line, 2, "%s", mode_word(member->flags));
    table_cell(line, 3, "%s", words_text(&words));
    table_cell(line, 4, "%s", state_word(member->state));
    table_cell(line, 5, "%zu", member->lease_count);
    table_cell_age(line, 6, member->age_ms);
    table_cell(line, 7, "%s%s", lifetime_word(set->lifetime), set->orphaned ? ",orphaned" : "");
    table_cell(line, 8, "%s", member->opaque ? member->opaque : "-");
}

static void members_print(const struct fdset_listing *listing, bool headings) {
    static const struct table_column columns[] = {
        {"SET", true},    {"MEMBER", true}, {"MODE"},     {"FLAGS"},  {"STATE"},
        {"LEASES", true}, {"AGE", true},    {"LIFETIME"}, {"OPAQUE"}, {NULL},
    };
    struct libscols_table *table = table_new(columns, headings);

    for (size_t i = 0; i < listing->count; i++)
        for (size_t j = 0; j < listing->sets[i].member_count; j++)
            member_line(table, &listing->sets[i], &listing->sets[i].members[j]);
    table_print(table);
}

static void lease_line(struct libscols_table *table, int set, uint32_t member,
                       const struct fdset_lease_info *lease) {
    struct libscols_line *line = table_line(table);
    struct words words = {""};

    words_append_flags(&words, lease->flags);
    table_cell(line, 0, "%u", lease->lease);
    table_cell(line, 1, "%d", set);
    table_cell(line, 2, "%u", member);
    table_cell(line, 3, "%s", mode_word(lease->flags));
    table_cell(line, 4, "%s", words_text(&words));
    table_cell_age(line, 5, lease->age_ms);
    table_cell(line, 6, "%d", (int)lease->pid);
    table_cell(line, 7, "%s", lease->name ? lease->name : "-");
}

static void leases_print(const struct fdset_listing *listing, bool headings) {
    static const struct table_column columns[] = {
        {"LEASE", true}, {"SET", true}, {"MEMBER", true}, {"MODE"}, {"FLAGS"},
        {"AGE", true},   {"PID", true}, {"NAME"},         {NULL},
    };
    struct libscols_table *table = table_new(columns, headings);

    for (size_t i = 0; i < listing->count; i++) {
        const struct fdset_info *set = &listing->sets[i];
        for (size_t j = 0; j < set->member_count; j++)
            for (size_t k = 0; k < set->members[j].lease_count; k++)
                lease_line(table, set->set, set->members[j].member, &set->members[j].leases[k]);
    }
    table_print(table);
}

struct list_options {
    const char *socket;
    int set;
    bool leases, json, headings;
};

static void options_read(struct list_options *options, int argc, char **argv) {
    static const struct option table[] = {
        {"leases", no_argument, NULL, 'l'},
        {"json", no_argument, NULL, 'j'},
        {"no-headings", no_argument, NULL, 'n'},
        COMMON_OPTIONS,
    };
    int option;

    while ((option = getopt_long(argc, argv, "ljn" COMMON_SHORT_OPTIONS, table, NULL)) >= 0) {
        switch (option) {
        case 'l':
            options->leases = true;
            break;
        case 'j':
            options->json = true;
            break;
        case 'n':
            options->headings = false;
            break;
        default:
            common_option(option, optarg, &options->socket, help);
        }
    }
    if (argc - optind > 1)
        usage_error(argv[0], "more than one set given; leave out the set to see all");
    if (optind < argc && !set_parse(argv[optind], &options->set))
        usage_error(argv[0], "'%s' is no set: give a number or /dev/fdset/NUMBER", argv[optind]);
}

int command_list(int argc, char **argv, const char *socket) {
    struct list_options options = {.socket = socket, .set = FDSET_ALL_SETS, .headings = true};
    struct fdset_listing *listing;

    options_read(&options, argc, argv);
    struct fdset_manager *manager = manager_connect(argv[0], options.socket);
    if (fdset_query(manager, options.set, &listing) < 0)
        refused(argv[0], "%s", fdset_error_text());
    if (options.json)
        json_print(listing_json(listing));
    else if (options.leases)
        leases_print(listing, options.headings);
    else
        members_print(listing, options.headings);
    fdset_listing_free(listing);
    fdset_manager_free(manager);
    return EXIT_DONE;
}

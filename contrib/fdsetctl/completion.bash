# SPDX-License-Identifier: MIT
# bash completion for fdsetctl
#
# Labels and names are chosen by whoever may add sets or open them. None of them may
# come to where bash expands words, as compgen -W, eval and [[ -v ]] do: they are
# compared, quoted and handed over, and no more.

# Takes a line apart as the shell would, but expands nothing: `words` are those before
# the last, which is `word`; `raw` is that as it is typed, `quote` what is still open.
_fdsetctl_split() {
    local line=$1 character i begun=''
    words=() word='' raw='' quote=''
    for ((i = 0; i < ${#line}; i++)); do
        character=${line:i:1}
        if [[ ! $quote && $character == [[:space:]] ]]; then
            [[ ! $begun ]] || words+=("$word")
            word='' raw='' begun=''
            continue
        fi
        begun=yes raw+=$character
        if [[ $quote == "$character" ]]; then
            quote=''
        elif [[ ! $quote && $character == [\'\"] ]]; then
            quote=$character
        elif [[ $character == \\ && $quote != \' &&
            (! $quote || ${line:i+1:1} == [\"\\\$\`]) ]]; then
            ((++i))
            word+=${line:i:1} raw+=${line:i:1}
        else
            word+=$character
        fi
    done
}

# _fdsetctl_quote TEXT STYLE: into `quoted`, as it must stand behind `quote`. There are
# two styles, which differ in their first character where the text needs quoting there.
_fdsetctl_quote() {
    local text=$1 character i
    quoted=''
    case $quote$2 in
    \'*) quoted=${text//\'/\'\\\'\'} ;;
    \"*)
        for ((i = 0; i < ${#text}; i++)); do
            character=${text:i:1}
            case $character in
            !) character='"\!"' ;;
            [\"\\\$\`])
                if [[ $2 = 1 ]]; then character=\\$character; else character=\"\\$character\"; fi
                ;;
            esac
            quoted+=$character
        done
        ;;
    *)
        [[ ! $text ]] || printf -v quoted %q "$text"
        quoted=${quoted//\\,/,} # of lists: it means nothing where braces are quoted
        [[ $2 = 1 || $quoted != [\\\$]* ]] || quoted=\'${text//\'/\'\\\'\'}\'
        ;;
    esac
}

# _fdsetctl_offer CANDIDATE...: into `offered` those that `word` is the beginning of.
_fdsetctl_offer() {
    local candidate
    for candidate; do
        [[ $candidate != "$word"* ]] || offered+=("${candidate#"$before"}")
    done
}

# Quotes what is offered. Readline puts it in the place of what it takes for the word,
# which begins after `before`. Of several it puts what they have in common, which must
# not end within a \ that quotes: no two of them are quoted alike where they differ.
_fdsetctl_reply() {
    local candidate quoted begun common=${offered[0]-} style=1
    for candidate in "${offered[@]}"; do
        while [[ $candidate != "$common"* ]]; do common=${common%?}; done
    done
    _fdsetctl_quote "$common" 1
    begun=$quoted
    for candidate in "${offered[@]}"; do
        _fdsetctl_quote "${candidate#"$common"}" $style
        quoted=$begun$quoted
        # Readline takes a quote in the first place for the one that is open already,
        # and one in the last place for the one that closes it.
        [[ ! $quote || $quoted != "$quote"* ]] || quoted=$quote$quoted
        [[ ! $quote || ${#offered[@]} != 1 || $quoted != *"$quote" ]] || quoted+=$quote
        COMPREPLY+=("$quoted")
        style=2
    done
}

# _fdsetctl_list OPTION...: lines that 'fdsetctl list' prints, into `lines`.
_fdsetctl_list() {
    mapfile -t lines < <(command timeout 5 fdsetctl list "${socket[@]}" "$@" 2>/dev/null </dev/null)
}

# _fdsetctl_values PREFIX COLUMN: what is in a column.
_fdsetctl_values() {
    local lines
    _fdsetctl_list --values "$2"
    _fdsetctl_offer "${lines[@]/#/"$1"}"
}

# What begins as an option does is offered as a path.
_fdsetctl_sets() {
    local lines sets=() set
    _fdsetctl_list --values SET
    sets=("${lines[@]}")
    _fdsetctl_list --values NAME
    for set in "${sets[@]}" "${lines[@]}"; do
        [[ $word != /* && $set != -* ]] || set=/dev/fdset/$set
        _fdsetctl_offer "$set"
    done
}

# _fdsetctl_words PREFIX TEXT: the words of our own text.
_fdsetctl_words() {
    local all
    read -r -d '' -a all <<<"$2"
    _fdsetctl_offer "${all[@]/#/"$1"}"
}

# _fdsetctl_among PREFIX TEXT: lists of these words, with commas between.
_fdsetctl_among() {
    local begun=${word#"$1"}
    if [[ $begun == *,* ]]; then
        _fdsetctl_words "$1${begun%,*}," "$2"
    else
        _fdsetctl_words "$1" "$2"
    fi
    compopt -o nospace
}

# _fdsetctl_told COMMAND OPTION...: what fdsetctl says that there is, where a comma is
# none of it.
_fdsetctl_told() {
    command fdsetctl "$@" , 2>&1 </dev/null | sed -n 's/.*; there are //p' | tr , ' '
}

# The columns of what 'fdsetctl list' is to show.
_fdsetctl_columns() {
    local item view=()
    for item in "${words[@]:1}"; do
        case $item in
        --leases | --waiting) view=("$item") ;;
        -[!-]*[lw]* | -[lw]*) [[ $item == *[!jnlw-]* ]] || view=("$item") ;;
        esac
    done
    _fdsetctl_told list "${view[@]}" --values
}

# _fdsetctl_takes OPTION: it takes an argument, as its own word or behind a '='.
_fdsetctl_takes() {
    case $1 in
    --socket | --set | --opaque | --fd | --sharing | --name | --for | --owner | --lifetime | --grace | \
        --idle | --output | --values | --kinds | --count | --vm | \
        --file | --directory | --timeout | --copies) return 0 ;;
    esac
    case $command$1 in
    -S | [a-z]*-S | who-[ajn]*o | who-o | add-[rwpjn]*[so] | add-[so] | list-[lwajn]*o | list-o | watch-[arj]*[kco] | \
        watch-[kco]) return 0 ;;
    esac
    return 1
}

# _fdsetctl_argument OPTION PREFIX: what may stand there, and has PREFIX before it.
_fdsetctl_argument() {
    case $command$1 in
    *--socket | *-S | *--file | *--directory) compopt -o default ;;
    *--set | add-*s) _fdsetctl_values "$2" SET ;;
    *--name) _fdsetctl_values "$2" NAME ;;
    *--for) _fdsetctl_values "$2" FOR ;;
    *--owner) _fdsetctl_values "$2" OWNER ;;
    list--opaque) _fdsetctl_values "$2" OPAQUE ;;
    *--lifetime) _fdsetctl_words "$2" 'keep idle once connection' ;;
    *--sharing) _fdsetctl_words "$2" 'exclusive shared' ;;
    watch--output | watch-*o) _fdsetctl_among "$2" "$(_fdsetctl_told watch --output)" ;;
    watch--journal) compopt -o default ;;
    *--kinds | watch-*k) _fdsetctl_among "$2" "$(_fdsetctl_told watch --kinds)" ;;
    who--output | who-*o) _fdsetctl_among "$2" "$(_fdsetctl_told who --output)" ;;
    list--output | list-*o) _fdsetctl_among "$2" "$(_fdsetctl_columns)" ;;
    *--values) _fdsetctl_words "$2" "$(_fdsetctl_columns)" ;;
    esac
}

# What is no option and no option's argument.
_fdsetctl_operand() {
    local lines
    case $command${#operands[@]} in
    [0-9]*)
        _fdsetctl_words '' "$(command fdsetctl --help 2>/dev/null </dev/null |
            sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p')"
        ;;
    add* | who0) compopt -o default ;;
    remove0 | list0 | show0) _fdsetctl_sets ;;
    remove1) _fdsetctl_list --values MEMBER -- "${operands[0]}" && _fdsetctl_offer "${lines[@]}" ;;
    esac
}

# All that the help has: it names no option that is not there.
_fdsetctl_options() {
    _fdsetctl_words '' "$(command fdsetctl ${command:+"$command"} --help 2>/dev/null </dev/null |
        grep -o -- '--[a-z][a-z-]*' | sort -u)"
}

# Reads the words before the one that is completed: `pending` is an option whose
# argument that is; `ended`: after a "--".
_fdsetctl_read() {
    local item
    for item in "${words[@]:1}"; do
        if [[ $pending ]]; then
            case $pending in --socket | -S) socket=(--socket="$item") ;; esac
            pending=''
        elif [[ $item == -- && ! $ended ]]; then
            ended=yes
        elif [[ $item == -?* && ! $ended ]]; then
            case $item in --socket=* | -S?*) socket=("$item") ;; esac
            ! _fdsetctl_takes "$item" || pending=$item
        elif [[ ! $command ]]; then
            command=$item
        else
            operands+=("$item")
        fi
    done
}

_fdsetctl() {
    local words word raw quote before opened offered=() socket=() command='' operands=() pending='' ended=''
    local IFS=$' \t\n' # whatever the shell's own is
    COMPREPLY=()
    _fdsetctl_split "${COMP_LINE:0:COMP_POINT}"
    [[ $raw == *"$2" ]] || return 0
    # What stands before readline's word, and the quote that the word stands behind.
    _fdsetctl_split "${raw:0:${#raw}-${#2}}"
    before=$word opened=$quote
    _fdsetctl_split "${COMP_LINE:0:COMP_POINT}"
    quote=$opened
    # To put in all of them, it takes the quote away.
    [[ $COMP_TYPE != 42 ]] || quote=''
    while ((${#words[@]})) && [[ ${words[0]} == *=* ]]; do words=("${words[@]:1}"); done
    ((${#words[@]})) || return 0
    _fdsetctl_read
    if [[ $pending ]]; then
        _fdsetctl_argument "$pending" ''
    elif [[ $word == --*=* && ! $ended ]]; then
        _fdsetctl_argument "${word%%=*}" "${word%%=*}="
    elif [[ $word == -* && ! $ended ]]; then
        _fdsetctl_options
    else
        _fdsetctl_operand
    fi
    _fdsetctl_reply
}
complete -F _fdsetctl fdsetctl

# bash completion for fdsetctl

# A column of 'fdsetctl list' with these arguments, if a helper answers.
_fdsetctl_column() {
    local socket=() i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -S | --socket) socket=(--socket "${COMP_WORDS[i + 1]}") ;;
        esac
    done
    fdsetctl list --no-headings --output "$1" "${socket[@]}" "${@:2}" 2>/dev/null |
        awk '$1 != "-" && !seen[$1]++ { print $1 }'
}

# The numbers and names of the helper's sets.
_fdsetctl_sets() {
    _fdsetctl_column SET
    _fdsetctl_column NAME
}

_fdsetctl() {
    local word=$2 previous=$3 command='' arguments=() i
    local common='--socket --help --version' options=''

    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i - 1]} in
        -S | --socket | -s | --set | -o | --opaque | --output | --fd | --sharing | --name | \
            --owner | --lifetime | --grace | --idle | -k | --kinds | -c | --count) continue ;;
        esac
        case ${COMP_WORDS[i]} in
        -*) ;;
        *) if [[ $command ]]; then arguments+=("${COMP_WORDS[i]}"); else command=${COMP_WORDS[i]}; fi ;;
        esac
    done

    case $previous in
    -S | --socket)
        compopt -o default
        COMPREPLY=()
        return
        ;;
    -s | --set)
        mapfile -t COMPREPLY < <(compgen -W "$(_fdsetctl_column SET)" -- "$word")
        return
        ;;
    --name)
        mapfile -t COMPREPLY < <(compgen -W "$(_fdsetctl_column NAME)" -- "$word")
        return
        ;;
    --owner)
        mapfile -t COMPREPLY < <(compgen -W "$(_fdsetctl_column OWNER)" -- "$word")
        return
        ;;
    --lifetime)
        mapfile -t COMPREPLY < <(compgen -W 'keep idle once connection' -- "$word")
        return
        ;;
    --sharing)
        mapfile -t COMPREPLY < <(compgen -W 'exclusive shared' -- "$word")
        return
        ;;
    -k | --kinds)
        mapfile -t COMPREPLY < <(compgen -W 'added removed opened closed denied wanted set-gone
            vmm-connected vmm-gone settle-stuck' -- "$word")
        return
        ;;
    -o | --opaque | --output | --fd | --grace | --idle | -c | --count)
        COMPREPLY=()
        return
        ;;
    esac

    case $command in
    '') options='add remove list show watch stats' ;;
    add)
        common+=' --set --opaque --fd --read-only --read-write --write-only --direct --append --sync
            --sharing --serves-read-only --keep-content --keep-locks --allow-socket --name --replace
            --lifetime --grace --idle --mixed --owner --path --json --no-headings'
        [[ $word == -* ]] || compopt -o default
        ;;
    remove)
        case ${#arguments[@]} in
        0) options=$(_fdsetctl_sets) ;;
        1) options=$(_fdsetctl_column MEMBER "${arguments[0]}") ;;
        esac
        ;;
    list)
        common+=' --leases --waiting --name --owner --opaque --output --json --no-headings'
        ((${#arguments[@]})) || options=$(_fdsetctl_sets)
        ;;
    show)
        common+=' --sandbox --json'
        ((${#arguments[@]})) || options=$(_fdsetctl_sets)
        ;;
    watch) common+=' --kinds --all --count --ready --json' ;;
    stats) common+=' --json --openmetrics --no-headings' ;;
    esac
    [[ $word == -* ]] && options=$common
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
}
complete -F _fdsetctl fdsetctl

# bash completion for fdsetctl

# The numbers of the helper's sets, or of one set's members, if a helper answers.
_fdsetctl_numbers() {
    local socket=() i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -S | --socket) socket=(--socket "${COMP_WORDS[i + 1]}") ;;
        esac
    done
    fdsetctl list --no-headings "${socket[@]}" "${@:2}" 2>/dev/null |
        awk -v column="$1" '!seen[$column]++ { print $column }'
}

_fdsetctl() {
    local word=$2 previous=$3 command='' arguments=() i
    local common='--socket --help --version' options=''

    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i - 1]} in
        -S | --socket | -s | --set | -o | --opaque | --fd | --sharing) continue ;;
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
        mapfile -t COMPREPLY < <(compgen -W "$(_fdsetctl_numbers 1)" -- "$word")
        return
        ;;
    --sharing)
        mapfile -t COMPREPLY < <(compgen -W 'exclusive shared' -- "$word")
        return
        ;;
    -o | --opaque | --fd)
        COMPREPLY=()
        return
        ;;
    esac

    case $command in
    '') options='add remove list' ;;
    add)
        common+=' --set --opaque --fd --read-only --read-write --write-only --direct --append --sync
            --sharing --serves-read-only --keep-content --keep-locks --path --json --no-headings'
        [[ $word == -* ]] || compopt -o default
        ;;
    remove)
        case ${#arguments[@]} in
        0) options=$(_fdsetctl_numbers 1) ;;
        1) options=$(_fdsetctl_numbers 2 "${arguments[0]}") ;;
        esac
        ;;
    list)
        common+=' --leases --json --no-headings'
        ((${#arguments[@]})) || options=$(_fdsetctl_numbers 1)
        ;;
    esac
    [[ $word == -* ]] && options=$common
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
}
complete -F _fdsetctl fdsetctl

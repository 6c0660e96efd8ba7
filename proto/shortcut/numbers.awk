# SPDX-License-Identifier: MIT
# The numbers of the fields of fdset.proto: "FIELD_Open_path = 1,".
{ sub(/\/\/.*/, "") }
$1 == "message" { name = name "_" $2 }
/^ *(repeated |optional )?[A-Za-z0-9_.]+ [a-z0-9_]+ = [0-9]+;/ {
    field = $0
    sub(/ *=.*/, "", field)
    sub(/.* /, "", field)
    number = $0
    gsub(/.*= *|;.*/, "", number)
    print "FIELD" name "_" field " = " number ","
}
/\{/ { names[++depth] = $1 == "message" }
/\}/ { if (names[depth--]) sub(/_[^_]*$/, "", name) }

package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// The attributes of the kernel that are ACLs.
const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
)

// Tags of entries of the kernel's ACLs (linux/posix_acl.h); each entry is tag (2
// bytes), permissions (2), id (4), behind a version (4), all little endian.
const (
	aclVersion  = 2
	tagUserObj  = 0x01
	tagUser     = 0x02
	tagGroupObj = 0x04
	tagGroup    = 0x08
	tagMask     = 0x10
	tagOther    = 0x20
)

// What rsync --fake-super makes of one (acls.c, set_rsync_acl): permissions of the
// owner, the group, the mask and the others (4 bytes each), then id and
// permissions of each named user and group.
const (
	noEntry    = 0x80 // there is none, or the mode tells it
	nameIsUser = 1 << 31
	aclHead    = 16
	aclMaskAt  = 8
)

var errACL = errors.New("an ACL that cannot be stored")

// acl is one as rsync takes it apart.
type acl struct {
	user, group, mask, other uint32
	names                    []byte // encoded
}

func parseACL(v []byte) (*acl, error) {
	if len(v) < 4 || len(v)%8 != 4 || binary.LittleEndian.Uint32(v) != aclVersion {
		return nil, errACL
	}
	a := &acl{noEntry, noEntry, noEntry, noEntry, nil}
	last := uint16(0)
	for v = v[4:]; len(v) > 0; v = v[8:] {
		tag, perm, id := binary.LittleEndian.Uint16(v), uint32(binary.LittleEndian.Uint16(v[2:])), v[4:8]
		named := tag == tagUser || tag == tagGroup
		if perm > 7 || tag < last || tag == last && !named { // the kernel keeps them in this order
			return nil, errACL
		}
		last = tag
		switch tag {
		case tagUserObj:
			a.user = perm
		case tagGroupObj:
			a.group = perm
		case tagMask:
			a.mask = perm
		case tagOther:
			a.other = perm
		case tagUser, tagGroup:
			if tag == tagUser {
				perm |= nameIsUser
			}
			a.names = binary.LittleEndian.AppendUint32(append(a.names, id...), perm)
		default:
			return nil, errACL
		}
	}
	if a.user == noEntry || a.group == noEntry || a.other == noEntry || a.names != nil && a.mask == noEntry {
		return nil, errACL
	}
	return a, nil
}

func (a *acl) encode() []byte {
	var b []byte
	for _, n := range []uint32{a.user, a.group, a.mask, a.other} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return append(b, a.names...)
}

// encodeAccess is how rsync stores an access ACL of the kernel; nil for none, or
// one that the mode tells. What the mode tells is left out. It is exact if the two
// were read at one moment.
func encodeAccess(v []byte, mode uint16) (b []byte, exact bool, err error) {
	if v == nil {
		return nil, true, nil
	}
	a, err := parseACL(v)
	if err != nil {
		return nil, false, err
	}
	group, of := uint32(mode>>3&7), a.mask
	if of == noEntry {
		of = a.group
	}
	exact = a.user == uint32(mode>>6&7) && of == group && a.other == uint32(mode&7)
	if a.mask == noEntry {
		return nil, exact, nil
	}
	a.user, a.other = noEntry, noEntry
	if a.group == group {
		a.group = noEntry
	}
	return a.encode(), exact, nil
}

// encodeDefault is how rsync stores a default ACL; nil for none.
func encodeDefault(v []byte) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	a, err := parseACL(v)
	if err != nil {
		return nil, err
	}
	return a.encode(), nil
}

// sameAccess compares two access ACLs as they are stored. That of one file may bear
// the mask of another, as rsync keeps them in one list; at a restore the mode
// decides what it is.
func sameAccess(a, b []byte) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	if len(a) < aclHead || len(b) < aclHead {
		return false
	}
	mask := func(v []byte) uint32 { return binary.LittleEndian.Uint32(v[aclMaskAt:]) & noEntry }
	return mask(a) == mask(b) && bytes.Equal(a[:aclMaskAt], b[:aclMaskAt]) && bytes.Equal(a[aclMaskAt+4:], b[aclMaskAt+4:])
}

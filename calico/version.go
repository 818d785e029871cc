package calico

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

// Version is a release line of Calico, such as 3.28. Patch releases change nothing that is written here.
type Version struct{ Major, Minor int }

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// The versions there is something to say about: the oldest with this data model and BIRD in calico/node as assumed here, and
// the newest whose source was read.
const (
	major  = 3
	oldest = 1
	newest = 33
)

// The first minor version of Calico 3 that has a field. calicoctl decodes strictly: it refuses an object with a field that
// its version does not know. Read in lib/apis/v3 of libcalico-go's release branches, and since 3.20 in api/.
const (
	sinceBlockSize        = 3  // IPPool spec.blockSize
	sincePoolNodeSelector = 5  // IPPool spec.nodeSelector
	sinceVXLAN            = 7  // IPPool spec.vxlanMode
	sincePeerPort         = 16 // BGPPeer spec.peerIP with a port (validated as IP:port), and spec.password
	sinceSourceAddress    = 18 // BGPPeer spec.sourceAddress
	sinceDisableBGPExport = 21 // IPPool spec.disableBGPExport
)

// since reports whether v is 3.minor or newer.
func (v Version) since(minor int) bool { return v.Major > major || v.Minor >= minor }

// known reports whether v is not newer than what was read.
func (v Version) known() bool { return v.Major == major && v.Minor <= newest }

// whereVersion says where an operator finds the version.
const whereVersion = "`calicoctl version` and the tag of the image of calico-node say which it is"

// ParseVersion reads a version as Calico writes it: 3.28, v3.28.1, 3.28.0-1.ppc64le. Those before 3.1 are refused; newer ones
// than are known are not.
func ParseVersion(s string) (Version, error) {
	m := regexp.MustCompile(`^v?(\d{1,3})\.(\d{1,3})(\.\d{1,3})?([-+][0-9A-Za-z.+-]+)?$`).FindStringSubmatch(s)
	switch {
	case s == "":
		return Version{}, errors.New("no version of Calico is given, such as 3.28; " + whereVersion)
	case m == nil:
		return Version{}, fmt.Errorf("%q is not a version of Calico, such as 3.28 or v3.28.1; %s", s, whereVersion)
	}
	var v Version
	var errMajor, errMinor error
	v.Major, errMajor = strconv.Atoi(m[1])
	v.Minor, errMinor = strconv.Atoi(m[2])
	if err := errors.Join(errMajor, errMinor); err != nil {
		return Version{}, err
	}
	if v.Major < major || !v.since(oldest) {
		return Version{}, fmt.Errorf("%s is too old: the objects of Calico were others; %d.%d is the oldest that routed knows", v, major, oldest)
	}
	return v, nil
}

/* Preloaded into Valkey: notes how much of each append-only file is on disk.
 *
 * After each fsync or fdatasync of a file NAME.aof, its size from before the call is written to NAME.aof.synced, as
 * decimal digits. A crash of the machine may lose everything behind that.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int synced(const char *name, int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  struct stat before;
  int known = fstat(fd, &before) == 0;
  int result = real(fd);
  char link[64], path[4096], text[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 16);
  if (result != 0 || !known || length < 4) return result;
  path[length] = 0;
  if (strcmp(path + length - 4, ".aof") != 0) return result;
  strcat(path, ".synced");
  int note = open(path, O_WRONLY | O_CREAT, 0600);
  if (note < 0) return result;
  int digits = snprintf(text, sizeof text, "%020lld", (long long)before.st_size);
  if (pwrite(note, text, digits, 0) != digits) unlink(path);
  close(note);
  return result;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
